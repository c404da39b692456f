"""A further node of an engine, with the test as its first one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.fill.follower import head_addresses, log_beside
from cbdata.fill.models import folder_fingerprint
from cbdata.fill.node_hello import meet_node
from cbdata.fill.node_line import Line
from cbdata.fill.nodes import VARIABLE, NodesJob
from tests.ended_processes import ended
from tests.fill_settings import fill_settings, runtime_settings

BACKEND = """
import subprocess, sys, time
from stub_backend import StubBackend

class Backend(StubBackend):
    def follow(self, model, arguments, place):
        # A worker, which listens to nobody.
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
        worker = subprocess.Popen([sys.executable, "-c", deaf])
        print("worker", worker.pid, "follows", model, arguments["seed"], place.rank, flush=True)
        if arguments["fails"]:
            raise RuntimeError("no memory")
        # As vLLM's monitor does: it returns when a worker ends.
        worker.wait()

BACKEND = Backend()
"""


class Follower:
    """The process, and the test's line to it."""

    def __init__(self, process: subprocess.Popen[str], line: Line, log: Path) -> None:
        self.process, self.line, self.log = process, line, log
        self.worker = 0

    def begin(self, fails: bool = False) -> None:
        place = {"rank": 1, "count": 2, "address": "127.0.0.1", "port": 1}
        arguments = {"seed": 3, "fails": fails}
        self.line.send({"begin": {"arguments": arguments, "place": place}})
        end = time.monotonic() + 60
        while "follows" not in self.log.read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        (self.worker,) = map(int, re.findall(r"worker (\d+) follows", self.log.read_text()))


@contextmanager
def following(folder: Path, repo: Path) -> Iterator[Follower]:
    (folder / "own_backend.py").write_text(BACKEND)
    path = [repo / "workflow/scripts", repo / "benchmarks/slurm_scale/stub", folder]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        log = str(folder / "job.log")
        told = NodesJob(2, listener.getsockname()[1], 1, "secret", log)
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "CB_BACKEND_MODULES": "own_backend",
            "CB_LOCAL_SCRATCH": str(folder),
            "SLURM_PROCID": "1",
            "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1",
            VARIABLE: orjson.dumps(asdict(told)).decode(),
        }
        command = [sys.executable, "-m", "cbdata.fill", "a-file-that-only-the-first-node-has"]
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, text=True) as run:
            listener.settimeout(60)
            line = Line(listener.accept()[0])
            found = meet_node(line, "secret", 2)
            assert found is not None and found[0] == 1
            try:
                yield Follower(run, line, folder / "job.node1.log")
                run.wait(60)
            finally:
                run.kill()
        assert not list(folder.glob("cbfill-*")), "its own scratch folder is gone"


def question(model: Path | str) -> dict[str, Any]:
    settings = fill_settings(model=str(model), backend="stub")
    return {"check": {"settings": asdict(settings), "runtime": asdict(RUNTIME), "gpus": 2}}


RUNTIME = runtime_settings(nodes_per_engine=2)


def test_a_node_says_what_it_has_and_ends_with_the_engine(
    tmp_path: Path, repo: Path, demo_model: Path
) -> None:
    """A stop signal that all nodes get does not end it before the first one's step is done."""
    with following(tmp_path, repo) as node:
        node.line.send(question(demo_model))
        answer = node.line.read(60)
        assert answer == {
            "engine": "no engine: the answers are written down",
            "path": str(demo_model),
            "fingerprint": folder_fingerprint(demo_model),
            "problems": [],
        }
        node.begin()
        assert f"follows {demo_model} 3 1" in node.log.read_text()
        node.process.send_signal(signal.SIGUSR1)
        node.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert node.process.poll() is None
        node.line.send({"end": True})
        assert node.process.wait(60) == 0
        assert ended(node.worker)


def test_a_planned_end_is_no_failure_while_its_workers_die_and_its_scratch_goes(
    tmp_path: Path, repo: Path, demo_model: Path
) -> None:
    """Ending the workers ends the backend's part too, before the last of the scratch is removed."""
    with following(tmp_path, repo) as node:
        node.line.send(question(demo_model))
        assert node.line.read(60) is not None
        node.begin()
        (scratch,) = tmp_path.glob("cbfill-*")
        for number in range(1500):
            (scratch / f"{number}.bin").touch()
        node.line.send({"end": True})
        assert node.line.read(60) is None, "nothing is told of a failure"
        assert node.process.wait(60) == 0


def test_a_worker_that_ends_by_itself_is_told_to_the_first_node(
    tmp_path: Path, repo: Path, demo_model: Path
) -> None:
    with following(tmp_path, repo) as node:
        node.line.send(question(demo_model))
        assert node.line.read(60) is not None
        node.begin()
        os.kill(node.worker, signal.SIGKILL)
        assert node.line.read(60) == {"failed": "its part of the engine ended"}
        assert node.process.wait(60) == 75


def test_the_head_is_where_srun_was_started_and_nowhere_else() -> None:
    """Whoever listens on this node's own port is not asked where SLURM names the head."""
    assert head_addresses({"SLURM_LAUNCH_NODE_IPADDR": "10.1.2.3"}) == ["10.1.2.3"]
    assert head_addresses({}) == [socket.gethostname()]


def test_a_node_without_the_model_says_so_and_one_that_is_left_alone_ends(
    tmp_path: Path, repo: Path
) -> None:
    with following(tmp_path, repo) as node:
        node.line.send(question(tmp_path / "absent"))
        answer = node.line.read(60)
        assert answer is not None
        (problem,) = answer["problems"]
        assert f"{tmp_path / 'absent'}: no such folder" in problem
        node.line.close()
        assert node.process.wait(60) == 75


def test_a_part_of_an_engine_that_fails_is_told_to_the_first_node(
    tmp_path: Path, repo: Path, demo_model: Path
) -> None:
    with following(tmp_path, repo) as node:
        node.line.send(question(demo_model))
        node.line.read(60)
        node.begin(fails=True)
        assert node.line.read(60) == {"failed": "RuntimeError: no memory"}
        assert node.process.wait(60) == 75
        assert ended(node.worker)


@pytest.mark.parametrize(("log", "beside"), [("a/0-of-1.log", "a/0-of-1.node2.log"), (None, None)])
def test_its_log_stands_beside_the_heads(log: str | None, beside: str | None) -> None:
    assert log_beside(log, 2) == beside
