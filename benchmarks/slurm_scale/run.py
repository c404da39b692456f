"""How the workflow behaves with 100,000 skeletons in 512 shards, the model left out.

    .venv/bin/python benchmarks/slurm_scale/run.py [--skeletons 100000] [--shards 512] [--paper]

1. `snakemake -n --profile slurm`: time and memory of the Snakemake process.
2. A real submission of every shard to the test cluster of tests/slurm, whose partition is closed
  meanwhile so that no job starts: sbatch calls,
   time and memory of the Snakemake process. (Skipped where no such cluster can be started.)
3. The fill stage from the first shard to the merge, run by Snakemake on this machine, every shard a
  fill process as in a job, with a stub in the
   engine's place (stub/): time and memory of the Snakemake process, of the shards and of the merge,
   and the files per directory. 15 minutes.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "workflow" / "scripts"), str(REPO)]

from cbdata.atomic_file import AtomicFile  # noqa: E402
from cbdata.jsonl import dumps, read_records  # noqa: E402

WORK = REPO / "scratch" / "benchmarks" / "slurm_scale"
DATA = WORK / "data"
LOGS = WORK / "logs"
MODEL = REPO / "scratch" / "cache" / "models" / "SmolLM2-135M-Instruct"
SKELETONS = DATA / "traces" / "fujitsu_b4_skeletons.jsonl"
STUB = Path(__file__).resolve().parent / "stub"
ENVIRONMENT = {
    "CB_BACKEND_MODULES": "stub_backend",
    "PYTHONPATH": os.pathsep.join([str(STUB), *filter(None, [os.environ.get("PYTHONPATH")])]),
}
"""What makes ``backend: stub`` known to Snakemake and to the fill processes."""

SLURM = ("--profile", "slurm", "--profile", "profiles/slurm-ci")
LOCAL = ("--profile", "profiles/local")


def make_skeletons(count: int) -> None:
    """The demo's skeletons again and again, each copy under an id of its own."""
    config = ["--config", f"output_base={WORK / 'demo'}", f"log_dir={LOGS}"]
    target = WORK / "demo" / "traces" / SKELETONS.name
    subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "--nolock",
            "--quiet",
            "all",
            *LOCAL,
            "--configfile",
            "config/demo/config.yaml",
            *config,
            "--",
            target,
        ],
        cwd=REPO,
        check=True,
    )
    demo = [record for _, record in read_records(target)]
    with AtomicFile(SKELETONS) as file:
        for i in range(count):
            skeleton = demo[i % len(demo)]
            file.write(dumps(skeleton | {"id": f"{skeleton['id'][:-8]}{i:08x}"}))


def snakemake_command(profiles: tuple[str, ...], shards: int, *options: str) -> list[str]:
    """The fill stage on the large file."""
    keys = {
        "output_base": DATA,
        "log_dir": LOGS,
        "model": MODEL,
        "tokenizer": MODEL,
        "skip_load": True,
        "fill_shards": shards,
        "backend": "stub",
    }
    config = [
        f"{key}={value}"
        for key, value in {**keys, "constrain_tool_calls": False, "attempts": 1}.items()
    ]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--nolock",
        *profiles,
        "--configfile",
        "config/demo/config.yaml",
        *options,
    ]
    return [*command, "--config", *config, "--", "fill"]


def peak_mb(status: str) -> float:
    """The greatest resident memory so far in a ``/proc/<pid>/status``; 0 for a process that has
    just ended.
    """
    return int(status.split("VmHWM:")[1].split()[0]) / 1024 if "VmHWM:" in status else 0.0


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak memory in MB of the command's own process, without its
    children.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=REPO,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = cpu = 0.0
    # Not the usage that wait4 gives: that counts this process's own memory before exec, and the
    # children's time.
    while process.poll() is None:
        peak = max(peak, peak_mb(Path(f"/proc/{process.pid}/status").read_text()))
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu = max(cpu, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.monotonic() - began, cpu, peak


def dry_run(shards: int) -> None:
    seconds, _, peak = measured(snakemake_command(SLURM, shards, "-n", "--quiet"))
    report("dry run", f"{seconds:.1f} s, {peak:.0f} MB")


def submission(shards: int) -> None:
    from tests.slurm import cluster as slurm

    reason = slurm.unavailable()
    if reason:
        report("submission", f"not measured: {reason}")
        return
    with slurm.start() as cluster:
        cluster.run(["scontrol", "update", "PartitionName=cpu", "State=DOWN"])
        began = time.monotonic()
        command = snakemake_command(SLURM, shards, "--jobs", str(shards))
        run = cluster.spawn(
            command,
            WORK / "submission.log",
            env={**ENVIRONMENT, "CB_SCRATCH": str(WORK / "scratch")},
            cwd=REPO,
        )
        slurm.wait_until(
            lambda: run.text().count("submitted with SLURM jobid") == shards,
            900,
            f"{shards} submissions",
            run.text,
        )
        seconds = time.monotonic() - began
        status = cluster.run(["cat", f"/proc/{run.pid}/status"]).stdout
        queued = len(cluster.jobs_of("fill_shard"))
        run.kill(signal.SIGINT)
        run.wait(120)
    report(
        "submission",
        f"{shards} sbatch calls in {seconds:.0f} s from the start of Snakemake, {queued} jobs"
        f" queued, {peak_mb(status):.0f} MB",
    )


def one_shard(shards: int) -> None:
    """The first shard alone: what a job bears of the whole file and division."""
    target = DATA / f"fill/shards/fujitsu_b4/0-of-{shards}.jsonl"
    command = snakemake_command(LOCAL, shards, "--cores", "1")
    measured([*command[:-1], str(target)])
    table = LOGS / f"benchmarks/fill_shard/fujitsu_b4/0-of-{shards}.tsv"
    (row,) = csv.DictReader(table.open(newline=""), delimiter="\t")
    report("one shard", f"{row['cpu_time']} s of CPU time, {row['max_rss']} MB")


def fill(shards: int) -> None:
    options = ["--cores", "2", "--set-threads", "fill_shard=1", "--resources", "gpu=2"]
    seconds, cpu, peak = measured(snakemake_command(LOCAL, shards, *options))
    report(
        "fill stage",
        f"{seconds:.0f} s on two cores; the Snakemake process itself {cpu:.0f} s of CPU time,"
        f" {peak:.0f} MB",
    )
    tables = sorted((LOGS / "benchmarks" / "fill_shard").rglob("*.tsv"))
    rows = [
        row for table in tables for row in csv.DictReader(table.open(newline=""), delimiter="\t")
    ]
    # Snakemake samples it every half second.
    figures = [float(row["cpu_time"]) for row in rows]
    report(
        "a shard",
        f"{statistics.median(figures):.1f} s of CPU time (median; at most {max(figures):.1f}),"
        f" {len(figures)} shards",
    )
    (table,) = (LOGS / "benchmarks" / "merge_fill").rglob("*.tsv")
    (row,) = csv.DictReader(table.open(newline=""), delimiter="\t")
    report("merge", f"{row['s']} s, {row['max_rss']} MB")


def count_files() -> None:
    """One row for each folder with more than one file or a large one."""
    for folder, count in sorted(
        Counter(
            str(path.parent.relative_to(WORK)) for path in WORK.rglob("*") if path.is_file()
        ).items()
    ):
        size = sum(path.stat().st_size for path in (WORK / folder).iterdir() if path.is_file())
        if count > 1 or size > 1e6:
            report(f"files in {folder}", f"{count}, {size / 1e6:.1f} MB")


def report(what: str, figure: str) -> None:
    print(f"{what}: {figure}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--skeletons", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=512)
    parser.add_argument(
        "--paper", action="store_true", help="only the dry run, and one shard of them all"
    )
    arguments = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    SKELETONS.parent.mkdir(parents=True)
    make_skeletons(arguments.skeletons)
    report(
        "input",
        f"{arguments.skeletons} skeletons, {SKELETONS.stat().st_size / 1e6:.0f} MB,"
        f" {arguments.shards} shards",
    )
    dry_run(arguments.shards)
    if arguments.paper:
        one_shard(arguments.shards)
        return
    submission(arguments.shards)
    fill(arguments.shards)
    count_files()


if __name__ == "__main__":
    main()
