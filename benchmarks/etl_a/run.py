"""ETL_A on AgentDojo transcripts: time against a loop that only parses and re-serialises, and peak
memory at 1x and 20x the input.

    python benchmarks/etl_a/run.py [--data DIR] [--rounds N] [--copies N]

Needs only the library and orjson. The two programs of a pair run one after the other, so that a
busy machine slows both alike; CPU seconds are given beside wall-clock seconds for the same reason.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import orjson

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "workflow" / "scripts"
SCHEMAS = sorted((ROOT / "configs" / "tool_schemas").glob("agentdojo_*_v1.json"))


class Seconds(NamedTuple):
    """What one run took."""

    wall: float
    cpu: float


def parse_and_serialise(files: list[Path], out: Path) -> None:
    """The yardstick: every line through orjson and back."""
    with open(out, "wb") as target:
        for file in files:
            with open(file, "rb") as source:
                target.writelines(
                    orjson.dumps(orjson.loads(line), option=orjson.OPT_APPEND_NEWLINE)
                    for line in source
                )


def etl_a(files: list[Path], out: Path) -> None:
    """The stage as the rule runs it."""
    from cbdata.sources.agentdojo import convert
    from cbdata.stage import StageFiles

    folder = out.parent
    convert(
        [str(file) for file in files],
        split="train",
        outputs=StageFiles(out, folder / "rejects", folder / "stats"),
        max_reject_fraction=0.5,
        tool_schemas=SCHEMAS,
    )


PROGRAMS = {"orjson": parse_and_serialise, "etl_a": etl_a}


def timed(program: str, files: list[Path], out: Path) -> Seconds:
    """One run in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    PROGRAMS[program](files, out)
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def spawned(program: str, files: list[Path], out: Path) -> tuple[Seconds, int]:
    """One run in a process of its own, interpreter start and imports included; (time, peak resident
    KiB by its own /proc entry). Bytecode is kept from run to run, as Python does by default.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [
        sys.executable,
        __file__,
        "--child",
        program,
        "--data",
        *map(str, files),
        "--out",
        str(out),
    ]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(LIBRARY),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(out.parent / "bytecode"),
        },
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), int(
        done.stdout
    )


def peak_kib() -> int:
    """This process's peak resident set; unlike ru_maxrss it does not begin with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def report(title: str, rounds: list[tuple[Seconds, Seconds]]) -> None:
    """Best times of each program, and the median of the ratios within a round."""
    for kind in ("wall", "cpu"):
        base, ours = ([getattr(pair[side], kind) for pair in rounds] for side in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(base, ours, strict=True))
        best = (
            f"best of {len(rounds)}: orjson {min(base) * 1e3:6.1f} ms, ETL_A {min(ours) * 1e3:6.1f}"
            f" ms, ratio {min(ours) / min(base):.2f}"
        )
        print(f"{title}, {kind:4}: {best}; median ratio {ratio:.2f}")


def enlarge(files: list[Path], folder: Path, copies: int, distinct: bool) -> list[Path]:
    """Each file ``copies`` times; with ``distinct`` the first message of a record differs in every
    copy, so that none is a duplicate.
    """
    made = []
    for number in range(copies):
        for file in files:
            path = folder / f"{number:03d}-{file.name}"
            with open(file, "rb") as source, open(path, "wb") as target:
                for line in source:
                    record = orjson.loads(line)
                    if distinct and record.get("messages"):
                        record["messages"][0]["content"] += f"\n{number}"
                    target.write(orjson.dumps(record) + b"\n")
            made.append(path)
    return made


def main() -> None:
    """Measure and print."""
    real = ROOT.parent / "shared" / "data" / "agentdojo"
    demo = ROOT / "config" / "demo" / "agentdojo.jsonl"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[real if real.is_dir() else demo],
        help="a folder of exports, or files; without ../shared the demo's few lines",
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--child", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    files = [
        file
        for path in arguments.data
        for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])
    ]
    if arguments.child:
        PROGRAMS[arguments.child](files, arguments.out)
        print(peak_kib())
        return
    if not files:
        sys.exit(
            f"no *.jsonl in {arguments.data[0]}: give a folder of AgentDojo exports with --data"
        )
    sys.path.insert(0, str(LIBRARY))
    size = sum(file.stat().st_size for file in files)
    lines = sum(file.read_bytes().count(b"\n") for file in files)
    versions = f"Python {platform.python_version()}, orjson {orjson.__version__}"
    print(
        f"{len(files)} files, {lines} lines, {size / 1e6:.1f} MB; {versions}, {os.cpu_count()}"
        f" cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        for program in PROGRAMS:  # not measured: the first runs fill caches
            timed(program, files, out), spawned(program, files, out)
        report(
            "in one process",
            [
                (timed("orjson", files, out), timed("etl_a", files, out))
                for _ in range(arguments.rounds)
            ],
        )
        report(
            "whole processes",
            [
                (spawned("orjson", files, out)[0], spawned("etl_a", files, out)[0])
                for _ in range(arguments.rounds)
            ],
        )
        once = min(spawned("etl_a", files, out)[1] for _ in range(3))
        for title, distinct in (("distinct", True), ("all copies", False)):
            more = enlarge(files, Path(name), arguments.copies, distinct)
            peak = min(spawned("etl_a", more, out)[1] for _ in range(2))
            print(
                f"peak memory: 1x {once / 1024:.1f} MiB, {arguments.copies}x ({title})"
                f" {peak / 1024:.1f} MiB, {peak / once - 1:+.1%}"
            )


if __name__ == "__main__":
    main()
