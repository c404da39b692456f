"""The configuration files and start commands of the test cluster (see :mod:`cluster`)."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

NODES = ("n1", "n2", "n3")
GPUS_PER_NODE = 2
GPU_MODELS = {"n1": "a100", "n2": "h100", "n3": "h100"}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# PID 1 of the cluster: lays the configuration over /etc/slurm in its own mount namespace, then
# reaps orphans (bash does that by itself) until its standard input closes, which happens at the
# latest when the process that holds the other end dies.
INIT = 'mount --bind "$1/etc" /etc/slurm && touch "$1/ready" && while read -r _; do :; done'

# Prints the PIDs (inside the namespace it runs in) of all job processes of node argv[1] and of the
# step daemons above them.
PIDS_ON_NODE = """
import pathlib, sys
marker = f"SLURMD_NODENAME={sys.argv[1]}".encode()
stat, mine = {}, set()
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit():
        try:
            stat[int(entry.name)] = (int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]), (entry / "comm").read_text().strip())
            if marker in (entry / "environ").read_bytes().split(b"\\0"):
                mine.add(int(entry.name))
        except OSError:  # the process ended while we looked
            continue
for pid in list(mine):
    parent = stat[pid][0]
    while parent in stat and stat[parent][1].startswith("slurmstepd"):
        mine.add(parent)
        parent = stat[parent][0]
print(*sorted(mine))
"""  # noqa: E501 - embedded text


def apt_packages() -> list[str]:
    """The Debian packages that the cluster needs (one list for the tests, the Makefile and CI)."""
    return (Path(__file__).parent / "apt-packages.txt").read_text().split()


def parse_fields(block: str) -> dict[str, str]:
    """``Key=value`` pairs of scontrol's output; a value reaches to the next `` Key=`` or the end of
    the line.
    """
    fields: dict[str, str] = {}
    for line in block.splitlines():
        for key, value in re.findall(r"(?<!\S)([\w/:]+)=(.*?)(?=\s+[\w/:]+=|$)", line.strip()):
            fields.setdefault(key, value)
    return fields


def write_all(home: Path, ports: dict[str, int], accounting: bool) -> None:
    """Write slurm.conf, gres.conf, slurmdbd.conf, the munge key, the device nodes and the
    directories of the daemons below ``home``.
    """
    for name in (
        "etc",
        "log",
        "run",
        "state",
        "munge",
        "dev",
        "db",
        *(f"spool/{node}" for node in NODES),
    ):
        (home / name).mkdir(parents=True)
    key = home / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    for index in range(GPUS_PER_NODE):
        # SLURM wants a device node; the null device's numbers make it one that can do nothing.
        os.mknod(home / "dev" / f"nvidia{index}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (home / "etc" / "slurm.conf").write_text(slurm_conf(home, ports, accounting), encoding="utf-8")
    (home / "etc" / "gres.conf").write_text(
        "".join(
            f"NodeName={node} Name=gpu Type={model} File={home}/dev/nvidia[0-{GPUS_PER_NODE - 1}]\n"
            for node, model in GPU_MODELS.items()
        ),
        encoding="utf-8",
    )
    if accounting:
        password = secrets.token_hex(16)
        dbd = home / "etc" / "slurmdbd.conf"
        dbd.touch(mode=0o600)
        dbd.write_text(slurmdbd_conf(home, ports, password), encoding="utf-8")
        (home / "db" / "init.sql").write_text(
            "CREATE DATABASE slurm_acct_db; CREATE USER slurm@'127.0.0.1' IDENTIFIED BY"
            f" '{password}';GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1';\n",
            encoding="utf-8",
        )


def slurm_conf(home: Path, ports: dict[str, int], accounting: bool) -> str:
    """slurm.conf. The short intervals make failures visible within seconds instead of minutes;
    memory is policed as on a real cluster.
    """
    lines = [
        "ClusterName=test",
        "SlurmctldHost=localhost",
        f"SlurmctldPort={ports['slurmctld']}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        # A requeued job waits until its old credential has expired (120 s by default).
        f"AuthInfo=socket={home}/munge/socket,cred_expire=5",
        f"StateSaveLocation={home}/state",
        f"SlurmdSpoolDir={home}/spool/%n",
        f"SlurmctldPidFile={home}/run/slurmctld.pid",
        f"SlurmdPidFile={home}/run/slurmd.%n.pid",
        f"SlurmctldLogFile={home}/log/slurmctld.log",
        f"SlurmdLogFile={home}/log/slurmd.%n.log",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "ReturnToService=2",
        "SlurmdParameters=config_overrides",
        "GresTypes=gpu",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "SchedulerParameters=bf_interval=3,sched_interval=5",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=2",
        # cgroups cannot be taken for granted in a container: SLURM's own polling kills a job above
        # its memory.
        "JobAcctGatherParams=OverMemoryKill",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        "MinJobAge=900",
        "SlurmdTimeout=10",
        # Between SIGTERM and SIGKILL: long enough for a fill job to finish the step it is in
        # (SLURM's default is 30).
        "KillWait=15",
        "InactiveLimit=0",
        "MaxArraySize=1001",
        "DebugFlags=NO_CONF_HASH",
    ]
    if accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=localhost",
            f"AccountingStoragePort={ports['slurmdbd']}",
            f"AccountingStoragePass={home}/munge/socket",
            "AccountingStorageTRES=gres/gpu",
            "AccountingStorageEnforce=associations,limits",
            # Without the comment, the executor's efficiency report has no rule names.
            "AccountingStoreFlags=job_comment",
        ]
    else:
        lines.append("AccountingStorageType=accounting_storage/none")
    for node, model in GPU_MODELS.items():
        address = f"NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[node]}"
        lines.append(
            f"NodeName={node} {address} CPUs=8 RealMemory=128000 Gres=gpu:{model}:{GPUS_PER_NODE}"
            " State=UNKNOWN"
        )
    # LLN (the least loaded node first) spreads the jobs, so that the tests see more than one node
    # at work.
    partition = "MaxTime=INFINITE State=UP LLN=YES"
    lines += [
        # The partitions of profiles/site.example; all nodes are in each.
        f"PartitionName=cpu Nodes={','.join(NODES)} Default=YES {partition} PriorityTier=1",
        f"PartitionName=gpu Nodes={','.join(NODES)} {partition} PriorityTier=1",
        # A job here pushes jobs of the other two off their nodes.
        f"PartitionName=urgent Nodes={','.join(NODES)} {partition} PriorityTier=10",
    ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(home: Path, ports: dict[str, int], password: str) -> str:
    """slurmdbd.conf; SLURM wants it readable by its owner alone."""
    return (
        f"AuthType=auth/munge\nAuthInfo=socket={home}/munge/socket\nDbdHost=localhost\nDbdPort={ports['slurmdbd']}\nSlurmUser=root\n"
        f"LogFile={home}/log/slurmdbd.log\nPidFile={home}/run/slurmdbd.pid\nStorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n"
        f"StoragePort={ports['mariadbd']}\nStorageUser=slurm\nStoragePass={password}\nStorageLoc=slurm_acct_db\n"
    )


def daemons(
    home: Path, ports: dict[str, int], accounting: bool
) -> list[tuple[str, list[str], list[str]]]:
    """(name, start command, command that succeeds once it is up) in the order of starting; the
    nodes come after these.
    """
    munge = [
        "munged",
        f"--key-file={home}/munge/key",
        f"--socket={home}/munge/socket",
        f"--pid-file={home}/run/munged.pid",
        f"--log-file={home}/log/munged.log",
        f"--seed-file={home}/munge/seed",
    ]
    steps = [("munged", munge, ["munge", f"--socket={home}/munge/socket", "--no-input"])]
    if accounting:
        database = f"--datadir={home}/db/data"
        client = ["mariadb", "--no-defaults", f"--socket={home}/db/socket", "--user=root"]
        install = (
            "mariadb-install-db --no-defaults --user=root --auth-root-authentication-method=normal"
            f" --skip-test-db {database}"
        )
        server = (
            f"mariadbd --no-defaults --user=root {database} --socket={home}/db/socket"
            f" --port={ports['mariadbd']} --bind-address=127.0.0.1"
            f" --pid-file={home}/run/mariadbd.pid --innodb-buffer-pool-size=64M"
            " --innodb-log-file-size=16M"
        )
        log = f"{home}/log/mariadbd.log"
        steps += [
            (
                "mariadbd",
                [
                    "sh",
                    "-c",
                    f"{install} >{log} 2>&1 && exec setsid {server} </dev/null >>{log} 2>&1 &",
                ],
                [*client, "-e", "SELECT 1"],
            ),
            (
                "the accounting database",
                ["sh", "-c", f"{' '.join(client)} < {home}/db/init.sql"],
                ["true"],
            ),
            ("slurmdbd", ["slurmdbd"], ["sacctmgr", "-n", "show", "cluster"]),
            # Accounting knows who may run: the account of profiles/site.example, with the user that
            # runs the tests.
            (
                "the accounts",
                [
                    "sh",
                    "-c",
                    (
                        "sacctmgr -i add cluster test; sacctmgr -i add account def-mygroup"
                        " Description=test Organization=test && sacctmgr -i add user root"
                        " Account=def-mygroup"
                    ),
                ],
                ["true"],
            ),
        ]
    return [*steps, ("slurmctld", ["slurmctld"], ["scontrol", "ping"])]
