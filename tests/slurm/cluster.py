"""A real SLURM cluster on this machine for tests: three nodes with two GPU devices each, private to
the process that started it.

It lives in a mount namespace and a PID namespace of its own. The mount namespace lays the cluster's
configuration over ``/etc/slurm`` (the place where SLURM's programs look once ``SLURM_CONF`` is
gone, and the jobs of Snakemake's SLURM executor drop that variable) without touching the host's
directory; the PID namespace takes every daemon and every job with it when it ends, even when the
test run is killed. Ports, munge socket and key, state and logs are the cluster's own. A SLURM that
already runs on the machine is neither read nor written.

Command line, to try things by hand: ``python -m tests.slurm.cluster [--accounting] COMMAND ...``
starts a cluster, runs COMMAND in it and takes it down again (no COMMAND: an interactive shell).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.slurm import cluster_conf as conf

NODES = conf.NODES
STARTUP_SECONDS = 60.0


class ClusterError(RuntimeError):
    """The cluster could not be started or did not do what was asked; the message holds the tail of
    the daemon's log.
    """


def unavailable(accounting: bool = False) -> str | None:
    """The reason why no cluster can run here, or None if one can.

    :param accounting: whether slurmdbd and MariaDB are needed too.
    """
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root (private namespaces and device nodes)"
    programs = ["slurmctld", "slurmd", "munged", "unshare", "nsenter"] + (
        ["slurmdbd", "mariadbd", "mariadb-install-db"] if accounting else []
    )
    missing = [name for name in programs if shutil.which(name, path=conf.PATH) is None]
    if missing:
        return (
            f"{', '.join(missing)} not installed (apt-get install {' '.join(conf.apt_packages())})"
        )
    if not Path("/etc/slurm").is_dir():
        return (
            "/etc/slurm does not exist: these SLURM programs were not installed by Debian's"
            " packages"
        )
    trial = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode != 0:
        return f"this machine allows no private namespaces: {trial.stderr.strip()}"
    return None


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str, log: Callable[[], str] = str
) -> None:
    """Return as soon as ``condition`` holds; after ``seconds`` raise :class:`ClusterError` naming
    ``what``, with the end of ``log()``.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise ClusterError(
                f"waited {seconds:.0f} s in vain for {what}\n{log()[-4000:]}".rstrip()
            )
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports that nothing listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass
class Cluster:
    """A running cluster; make one with :func:`start`, end it with :meth:`stop` (or use it as a
    context manager).
    """

    directory: Path
    accounting: bool
    keeper: subprocess.Popen[bytes]
    init_pid: int
    ports: dict[str, int]
    extra_env: dict[str, str] = field(default_factory=dict)

    # ---- running things in it
    # ----------------------------------------------------------------------------------------------

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of commands on the cluster's login node: this process's, without what
        belongs to any other SLURM.
        """
        foreign = ("SLURM", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SINFO_", "SACCT_")
        base = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        base["PATH"] = f"{Path(sys.executable).parent}:{conf.PATH}"
        return {**base, **self.extra_env, **(extra or {})}

    def enter(self, command: Sequence[str | Path], cwd: Path | None = None) -> list[str]:
        """The command line that runs ``command`` inside, in ``cwd`` (default: this process's;
        entering a mount namespace loses it).
        """
        inside = ["nsenter", "--target", str(self.init_pid), "--mount", "--pid", "--"]
        return [
            *inside,
            "sh",
            "-c",
            'cd "$0" && exec "$@"',
            str(cwd or Path.cwd()),
            *map(str, command),
        ]

    def run(
        self,
        command: Sequence[str | Path],
        *,
        check: bool = True,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the cluster and wait for it; stdout and stderr are captured together as
        text.

        :raises ClusterError: ``check`` is set and the exit status is not 0, or ``timeout`` seconds
        passed.
        """
        try:
            done = subprocess.run(
                self.enter(command, cwd),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                env=self.env(env),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"no end after {timeout:.0f} s:"
                f" {' '.join(map(str, command))}\n{(error.output or b'')[-4000:]!r}"
            ) from error
        if check and done.returncode != 0:
            raise ClusterError(
                f"exit status {done.returncode}:"
                f" {' '.join(map(str, command))}\n{done.stdout[-4000:]}"
            )
        return done

    def spawn(
        self,
        command: Sequence[str | Path],
        output: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Background:
        """Start a command in the cluster without waiting; what it prints goes to the file
        ``output``.
        """
        pid_file = output.with_suffix(".pid")
        pid_file.unlink(missing_ok=True)
        with output.open("wb") as sink:
            process = subprocess.Popen(
                # A caller in the background has SIGINT ignored, and its children would ignore it
                # too.
                self.enter(
                    [
                        "env",
                        "--default-signal=INT",
                        "sh",
                        "-c",
                        'echo $$ > "$0"; exec "$@"',
                        pid_file,
                        *command,
                    ],
                    cwd,
                ),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=self.env(env),
            )
        wait_until(
            lambda: pid_file.exists() and pid_file.read_text().strip() != "",
            10,
            f"the start of {command[0]}",
        )
        return Background(self, process, int(pid_file.read_text()), output)

    def answers(self, command: Sequence[str]) -> bool:
        """Whether the command succeeds."""
        return self.run(command, check=False).returncode == 0

    # ---- SLURM's own view
    # ----------------------------------------------------------------------------------------------

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job that the controller remembers, by job id: the fields of ``scontrol --details
        show job``.
        """
        found = {}
        for block in self.run(["scontrol", "--details", "show", "job"]).stdout.split("\n\n"):
            fields = conf.parse_fields(block)
            if "JobId" in fields:
                found[fields["JobId"]] = fields
        return found

    def jobs_of(self, rule: str) -> list[dict[str, str]]:
        """The jobs of one Snakemake rule in the order of their ids (the executor writes
        ``rule_<rule>...`` into the job's comment).
        """
        wanted = (f"rule_{rule}", f"rule_{rule}_wildcards_")
        mine = [
            job
            for job in self.jobs().values()
            if job.get("Comment", "") == wanted[0] or job.get("Comment", "").startswith(wanted[1])
        ]
        return sorted(mine, key=lambda job: int(job["JobId"]))

    def node_state(self, node: str) -> str:
        return conf.parse_fields(self.run(["scontrol", "show", "node", node]).stdout)["State"]

    # ---- faults
    # ----------------------------------------------------------------------------------------------

    def start_node(self, node: str) -> None:
        """Start the node's slurmd and wait until the controller lets jobs run there."""
        self.run([shutil.which("slurmd", path=conf.PATH) or "slurmd", "-N", node])
        self.run(
            ["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False
        )  # refused where the node is up by itself
        wait_until(
            lambda: self.node_state(node).startswith(("IDLE", "MIXED", "ALLOCATED")),
            60,
            f"node {node} to be up",
        )

    def kill_node(self, node: str, *, jobs_too: bool = True) -> None:
        """Make a node fail: SIGKILL its slurmd, and with ``jobs_too`` all that runs on it (power
        lost; without: only the network is).
        """
        self.run(
            ["kill", "-KILL", (self.directory / "run" / f"slurmd.{node}.pid").read_text().strip()]
        )
        if jobs_too:
            for pid in self._pids_on(node):
                self.run(["kill", "-KILL", str(pid)], check=False)

    def stop_controller(self) -> None:
        """Kill slurmctld, as a crash or a fail-over does; nodes and jobs work on."""
        pid = self.directory / "run" / "slurmctld.pid"
        self.run(["kill", "-KILL", pid.read_text().strip()])
        wait_until(lambda: not self.answers(["scontrol", "ping"]), 30, "the controller's end")

    def start_controller(self) -> None:
        """Start slurmctld again with the state that it had saved."""
        self.run([shutil.which("slurmctld", path=conf.PATH) or "slurmctld"])
        wait_until(lambda: self.answers(["scontrol", "show", "node", NODES[0]]), 60, "slurmctld")

    @contextlib.contextmanager
    def remembering(self, seconds: int) -> Iterator[None]:
        """Within it slurmctld may forget jobs so long after their end; it looks once a minute."""
        file = self.directory / "etc" / "slurm.conf"
        before = file.read_text(encoding="utf-8")
        changed = re.sub(r"^MinJobAge=.*$", f"MinJobAge={seconds}", before, flags=re.MULTILINE)
        try:
            file.write_text(changed, encoding="utf-8")
            self.run(["scontrol", "reconfigure"])
            yield
        finally:
            file.write_text(before, encoding="utf-8")
            self.run(["scontrol", "reconfigure"])

    def _pids_on(self, node: str) -> list[int]:
        listing = self.run([sys.executable, "-c", conf.PIDS_ON_NODE, node]).stdout
        return [int(pid) for pid in listing.split()]

    def pids_of(self, node: str, words: str) -> list[int]:
        """The processes of a node's jobs whose command line holds the words."""
        found = []
        for pid in self._pids_on(node):
            line = self.run(["cat", f"/proc/{pid}/cmdline"], check=False).stdout
            if words in line and "srun" not in line.split("\0")[0]:
                found.append(pid)
        return found

    def log(self, daemon: str) -> str:
        """The log of ``slurmctld``, ``slurmd.n1``, ``slurmdbd``, ``munged`` or ``mariadbd``."""
        path = self.directory / "log" / f"{daemon}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """End the cluster with everything in it and remove its directory; nothing of it is left on
        the host.
        """
        # Unshare --kill-child takes the namespace's init along, and the kernel every process in it
        self.keeper.kill()
        self.keeper.wait()
        if self.init_pid:
            wait_until(
                lambda: not Path(f"/proc/{self.init_pid}").exists(),
                20,
                "the end of the cluster's processes",
            )
        shutil.rmtree(self.directory)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class Background:
    """A command that runs in a cluster. ``pid`` counts in the cluster's PID namespace."""

    cluster: Cluster
    process: subprocess.Popen[bytes]
    pid: int
    output: Path

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self, seconds: float) -> int:
        """The exit status; :class:`ClusterError` with the tail of the output after ``seconds``."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"no end after {seconds:.0f} s; its output ends\n{self.text()[-4000:]}"
            ) from error

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the command itself (not to its children)."""
        self.cluster.run(["kill", f"-{number.value}", str(self.pid)], check=False)

    def let_its_job_be_forgotten(self) -> None:
        """Hold a Snakemake that has submitted one job, until SLURM has forgotten that job."""
        wait_until(lambda: "has been submitted" in self.text(), 60, "a submission", self.text)
        self.kill(signal.SIGSTOP)
        job = self.text().split("SLURM jobid ")[1].split()[0]
        show = ["scontrol", "show", "job", job]
        wait_until(lambda: not self.cluster.answers(show), 120, "the job to be forgotten")
        # Its parent, which stopped with it, lets it go on.
        self.process.send_signal(signal.SIGCONT)


def start(accounting: bool = False, directory: Path | None = None) -> Cluster:
    """Start a cluster and wait until its three nodes are idle.

    :param accounting: with slurmdbd on MariaDB, so that ``sacct`` answers; otherwise SLURM forgets
    a job ``MinJobAge`` after its end. :param directory: where the cluster's state goes; a new
    temporary directory by default. Removed by :meth:`Cluster.stop`. :raises ClusterError: a daemon
    did not come up (nothing is left running).
    """
    home = directory or Path(tempfile.mkdtemp(prefix="slurm-cluster-"))
    home.chmod(0o755)  # munged refuses a socket below a directory that others cannot enter
    names = ["slurmctld", *NODES, "slurmdbd", "mariadbd"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    conf.write_all(home, ports, accounting)
    keeper = subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
            "bash",
            "-c",
            conf.INIT,
            "bash",
            home,
        ],
        stdin=subprocess.PIPE,
        stdout=(home / "log" / "init.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    cluster = Cluster(home, accounting, keeper, init_pid=0, ports=ports)
    try:
        wait_until(
            (home / "ready").exists, 20, "the cluster's namespaces", lambda: cluster.log("init")
        )
        cluster.init_pid = int(
            Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()[0]
        )
        for what, command, ready in conf.daemons(home, ports, accounting):
            cluster.run(command, timeout=STARTUP_SECONDS)
            wait_until(
                lambda ready=ready: cluster.run(ready, check=False).returncode == 0,
                STARTUP_SECONDS,
                what,
                lambda what=what: cluster.log(what),
            )
        for node in NODES:
            cluster.start_node(node)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run a command in a private three-node SLURM cluster."
    )
    parser.add_argument(
        "--accounting", action="store_true", help="with slurmdbd and MariaDB, so that sacct works"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command (default: a shell)")
    arguments = parser.parse_args()
    reason = unavailable(arguments.accounting)
    if reason:
        print(f"no SLURM cluster can run here: {reason}", file=sys.stderr)
        return 2
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that the cluster is taken down then, too
    with start(arguments.accounting) as cluster:
        return subprocess.call(cluster.enter(arguments.command or ["bash"]), env=cluster.env())


if __name__ == "__main__":
    sys.exit(main())
