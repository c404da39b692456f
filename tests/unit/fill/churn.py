"""A fill stage under churn: jobs, nodes and the scheduler are killed (SIGKILL) at random until all
is done.

    python -m tests.unit.fill.churn --seed 1 --shards 64 --skeletons 1280 --kills 40

What is real: the code of a fill job and of the merge, every job a process of its own, the progress
store, the locks, the files. What stands in for something: an engine that answers at once, and a
scheduler of a few lines for Snakemake and SLURM. It starts a job for every shard without rows on
the free places of its nodes, and starts it again when it fails. When it is killed itself, its jobs
live on, as on a cluster, and its successor does not know of them. A node that dies takes its jobs
along, and the end of what they wrote last, which was not on the disk yet.

Prints a line of JSON: completions generated, completions of one undisturbed pass, kills by kind,
and whether the merged files are those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson

import cbdata.fill.lock as lock
from cbdata.fill.requests import Request
from cbdata.records import Mode
from cbdata.stage import StageFiles
from cbdata.tools import load_tool_schema
from tests.unit.fill.world import ToyBackend, World, toy_answer, write_skeletons

REPO = Path(__file__).resolve().parents[3]
NODES, PLACES = 4, 2
"""Nodes, and jobs that each runs at once."""
ATTEMPTS = 2
KINDS = ("job", "node", "scheduler")
SHARES = (6, 2, 2)
"""How often each is killed, of ten."""
PR_SET_CHILD_SUBREAPER = 36


def in_a_process(work: Callable[[], None]) -> int:
    """Do something in a copy of this process, in a session of its own; its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    status = 1
    with suppress(BaseException):
        work()
        status = 0
    os._exit(status)


class Churn:
    """One run under churn in a folder of its own."""

    def __init__(self, world: World, shards: int, seed: int) -> None:
        self.world, self.shards = world, shards
        self.random = random.Random(seed)
        self.generated = world.folder / "generated"
        self.live = world.folder / "live"
        self.live.mkdir()
        self.generated.touch()
        self.kills: Counter[str] = Counter()

    # ---- in the job's process

    def job(self, shard: int, node: int) -> None:
        """A shard's job on a node. Its place says which process it is, and is free when it ends."""
        place = self.live / f"{node}.{os.getpid()}"
        place.touch()
        fd = os.open(self.generated, os.O_WRONLY | os.O_APPEND)

        def answer(request: Request) -> str:
            os.write(fd, b".")
            return toy_answer(request)

        backend = ToyBackend(answer=answer, before=lambda _: time.sleep(0.002))
        self.world.run(backend, shard, self.shards, attempts=ATTEMPTS)
        place.unlink()

    # ---- in the scheduler's process

    def schedule(self) -> None:
        """Start jobs until every shard has its rows, then merge."""
        running: dict[int, int] = {}
        while missing := [shard for shard in range(self.shards) if not self.rows(shard).exists()]:
            with suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                    running = {shard: pid for shard, pid in running.items() if pid != ended}
            waiting = [shard for shard in missing if shard not in running]
            for node in self.free_places()[: len(waiting)]:
                shard = waiting.pop(0)
                running[shard] = in_a_process(lambda s=shard, n=node: self.job(s, n))
            time.sleep(0.02)
        self.merge()

    def free_places(self) -> list[int]:
        """The nodes that can take another job, as often as they can."""
        taken = Counter(node for node, _ in self.jobs())
        return [node for node in range(NODES) for _ in range(PLACES - taken[node])]

    def rows(self, shard: int) -> Path:
        return self.world.folder / "shards" / f"{shard}-of-{self.shards}.jsonl"

    def merge(self) -> dict[Mode, StageFiles]:
        return self.world.merge([self.rows(shard) for shard in range(self.shards)])

    # ---- in the process that kills

    def jobs(self) -> list[tuple[int, int]]:
        """Node and process of every job that runs; places of dead ones are cleared."""
        found = []
        for place in self.live.iterdir():
            node, pid = map(int, place.name.split("."))
            if _lives(pid):
                found.append((node, pid))
            else:
                place.unlink(missing_ok=True)
        return found

    def run(self, kills: int, one_pass: int) -> None:
        """Kill ``kills`` times, spread over the work, and start the scheduler until it is done."""
        scheduler = in_a_process(self.schedule)
        points = sorted(self.random.randrange(one_pass) for _ in range(kills))
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == scheduler:
                if status == 0:
                    break
                scheduler = in_a_process(self.schedule)
            if points and self.generated.stat().st_size >= points[0]:
                points.pop(0)
                time.sleep(self.random.random() * 0.05)
                kind = self.random.choices(KINDS, SHARES)[0]
                self.kills[kind] += self.kill(kind, scheduler)
            elif not ended:
                time.sleep(0.005)
        for _, pid in self.jobs():  # orphans whose shard another job has done meanwhile
            os.kill(pid, signal.SIGKILL)

    def kill(self, kind: str, scheduler: int) -> int:
        """Kill the scheduler, a job, or a node's jobs; how many processes."""
        if kind == "scheduler":
            os.kill(scheduler, signal.SIGKILL)
            return 1
        jobs = self.jobs()
        if not jobs:
            return 0
        chosen = self.random.choice(jobs)
        dying = [chosen] if kind == "job" else [job for job in jobs if job[0] == chosen[0]]
        for _, pid in dying:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kind == "node":
            time.sleep(0.02)
            for _, pid in dying:
                for path in (self.world.folder / "progress").glob(f"*.{pid}.jsonl"):
                    size = path.stat().st_size
                    os.truncate(path, max(0, size - self.random.randrange(200)))
        return len(dying)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def contents(files: dict[Mode, StageFiles]) -> list[object]:
    """What must be the same: traces, rejects, and the stats but for the work that was done."""
    found: list[object] = []
    for part in files.values():
        stats = orjson.loads(part.stats.read_bytes())
        stats["details"].pop("throughput")
        found += [part.out.read_bytes(), part.rejects.read_bytes(), stats]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--skeletons", type=int, default=1280)
    parser.add_argument("--kills", type=int, default=40)
    arguments = parser.parse_args()
    # Jobs of a killed scheduler become children of this process, which reaps them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    logging.disable(logging.CRITICAL)
    lock.POLL_S = 0.05
    folder: Path = arguments.folder
    (folder / "churn").mkdir(parents=True)
    tools = load_tool_schema(REPO / "configs/tool_schemas/b4_standard_v1.json")
    skeletons = write_skeletons(folder, tools, arguments.skeletons)
    quiet = World(folder / "quiet", tools, skeletons)
    backend = ToyBackend()
    expected = quiet.merge([quiet.run(backend, attempts=ATTEMPTS)])
    churn = Churn(World(folder / "churn", tools, skeletons), arguments.shards, arguments.seed)
    began = time.monotonic()
    churn.run(arguments.kills, len(backend.seen))
    result = {
        "seed": arguments.seed,
        "generated": churn.generated.stat().st_size,
        "one_pass": len(backend.seen),
        "killed": dict(churn.kills),
        "same": contents(churn.merge()) == contents(expected),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))
    sys.exit(0 if result["same"] else 1)


if __name__ == "__main__":
    main()
