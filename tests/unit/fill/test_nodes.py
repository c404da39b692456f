"""One engine over several nodes: the nodes' own talk, with threads and processes of this machine in
their place.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.fill import node_hello, nodes
from cbdata.fill.backends.base import EngineAway
from cbdata.fill.job import FillJob
from cbdata.fill.models import LocalModel
from cbdata.fill.node_hello import meet_node
from cbdata.fill.node_line import Line
from cbdata.fill.nodes import Head, NodesError, NodesJob, connect, run_on_nodes, srun_problem
from cbdata.fill.preflight import PreflightError
from cbdata.fill.processes import Command
from tests.fill_settings import runtime_settings

MODEL = LocalModel(Path("/models/x"), None, "f" * 64, 4096)
ANSWER = {"engine": "toy on a node", "path": "/models/x", "fingerprint": "f" * 64, "problems": []}


@pytest.fixture
def told() -> NodesJob:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return NodesJob(3, free.getsockname()[1], 29501, "secret", None)


class Losses:
    """What the head reported as lost."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.came = threading.Event()

    def __call__(self, reason: str) -> None:
        self.said.append(reason)
        self.came.set()


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def head(told: NodesJob, losses: Losses) -> Iterator[Head]:
    made = Head(told, losses, {})
    yield made
    made.end()


def join(
    told: NodesJob, rank: int, answer: dict[str, Any] | None = ANSWER, secret: str = "secret"
) -> tuple[Callable[[], Line], dict[str, str]]:
    """A node in a thread: it connects, and answers the head's question (None: it goes away)."""
    environ = {"SLURM_PROCID": str(rank), "SLURMD_NODENAME": f"n{rank + 1}"}
    lines: list[Line] = []

    def be() -> None:
        try:
            line = connect(replace(told, secret=secret), ["127.0.0.1"], environ)
        except NodesError:
            return
        lines.append(line)
        if line.read(10) is None:
            return
        if answer is None:
            line.close()
        else:
            line.send(answer)

    thread = threading.Thread(target=be)
    thread.start()

    def done() -> Line:
        thread.join(20)
        return lines[0]

    return done, environ


def test_all_nodes_get_the_engines_arguments_and_their_place(
    told: NodesJob, head: Head, job: FillJob, losses: Losses
) -> None:
    (second, environ), (first, _) = join(told, 2), join(told, 1)
    head.gather()
    head.check(job, MODEL, "toy")
    assert head.place == nodes.EnginePlace(rank=0, count=3, address="127.0.0.1", port=29501)
    assert environ["VLLM_HOST_IP"] == "127.0.0.1"
    head.begin({"seed": 3})
    for rank, node in ((1, first()), (2, second())):
        place = {"rank": rank, "count": 3, "address": "127.0.0.1", "port": 29501}
        assert node.read(10) == {"begin": {"arguments": {"seed": 3}, "place": place}}
    head.end()
    head.end()
    assert first().read(10) == second().read(10) == {"end": True}
    first().close()
    second().close()
    assert not losses.said, "a node that goes when it was told to is not lost"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({**ANSWER, "problems": ["/models/x: no such folder"]}, "node n3: /models/x: no such"),
        ({**ANSWER, "fingerprint": "0" * 64}, "node n3: /models/x is another model than on node"),
        (None, "node n3 ended while its model was looked at"),
    ],
)
def test_a_node_that_cannot_do_its_part_is_named_before_anything_is_loaded(
    told: NodesJob,
    head: Head,
    job: FillJob,
    monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, Any] | None,
    said: str,
) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    (good, _), (bad, _) = join(told, 1), join(told, 2, answer)
    head.gather()
    with pytest.raises(PreflightError, match=said) as why:
        head.check(job, MODEL, "toy")
    assert "n2" not in str(why.value)
    head.end()
    assert good().read(10) == {"end": True}
    bad()


def test_a_node_that_does_not_come_is_missed_and_strangers_do_not_count(
    told: NodesJob, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "JOIN_S", 1.0)
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    (known, _), (stranger, environ) = join(told, 1), join(told, 2, secret="guessed")
    with pytest.raises(PreflightError, match="node 2 of 3 did not report within 1 s") as why:
        head.gather()
    assert "there are n1, n2. Fix: " in str(why.value)
    with pytest.raises(IndexError):
        stranger()
    assert "VLLM_HOST_IP" not in environ
    head.end()
    known()


def test_a_head_that_was_told_to_stop_sees_the_others_off(
    told: NodesJob, head: Head, job: FillJob
) -> None:
    """What it does next (back into the queue) ends them wherever they are."""
    (first, _), (second, _) = join(told, 1), join(told, 2)
    head.gather()
    head.check(job, MODEL, "toy")
    head.begin({})
    gone = threading.Event()

    def leave() -> None:
        for node in (first(), second()):
            while node.read(10) != {"end": True}:
                pass
            gone.wait(0.1)
            node.close()
        gone.set()

    leaving = threading.Thread(target=leave)
    leaving.start()
    head.see_off()
    assert gone.wait(1)
    leaving.join()


def test_a_node_that_does_not_go_is_not_waited_for(
    told: NodesJob, head: Head, job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "LEAVE_S", 0.1)
    (first, _), (second, _) = join(told, 1), join(told, 2)
    head.gather()
    head.check(job, MODEL, "toy")
    head.see_off()
    assert first().read(10) == second().read(10) == {"end": True}


@pytest.mark.parametrize("words", [None, "RuntimeError: no memory"])
def test_a_node_that_is_gone_while_the_engine_works_is_noticed(
    told: NodesJob, head: Head, job: FillJob, losses: Losses, words: str | None
) -> None:
    (first, _), (second, _) = join(told, 1), join(told, 2)
    head.gather()
    head.check(job, MODEL, "toy")
    head.begin({})
    if words:
        second().send({"failed": words})
    else:
        second().close()
    assert losses.came.wait(10)
    assert losses.said == [f"node n3 of this engine ended: {words or 'its process is gone'}"]
    first()


def test_a_head_that_does_not_answer(told: NodesJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "JOIN_S", 0.0)
    with pytest.raises(NodesError, match=r"does not answer at 127\.0\.0\.1: .*refused"):
        connect(told, ["127.0.0.1"], {"SLURM_PROCID": "1"})


@pytest.mark.parametrize(
    "answer",
    [
        b'{"check": {"settings": {}}}\n',
        b'{"nonce": "x", "proof": "guessed"}\n',
        b'{"nonce": "x", "proof": "\xc3\xa9"}\n',
        b'{"nonce": null, "proof": null}\n',
        b'{"proof": ["secret"]}\n',
        b"[]\n",
        b"",
    ],
)
def test_what_is_not_the_head_is_not_listened_to(
    told: NodesJob, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """A stranger on the head's port is left, and the head is looked for again."""
    monkeypatch.setattr(nodes, "AGAIN_S", 0.01)
    with socket.create_server(("127.0.0.1", told.port)) as listener:
        listener.settimeout(10)
        found: list[Line] = []
        environ = {"SLURM_PROCID": "1"}

        def be() -> None:
            found.append(connect(told, ["127.0.0.1"], environ))

        node = threading.Thread(target=be)
        node.start()
        with listener.accept()[0] as stranger:
            stranger.makefile("rb").readline()
            stranger.sendall(answer)
        line = Line(listener.accept()[0])
        assert meet_node(line, told.secret, told.nodes) is not None
        line.send({"check": 1})
        node.join(10)
        assert found[0].read(10) == {"check": 1}
        found[0].close()
        line.close()


def test_a_silent_stranger_in_the_heads_place_is_left(
    told: NodesJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_hello, "HELLO_S", 0.05)
    monkeypatch.setattr(nodes, "JOIN_S", 0.1)
    monkeypatch.setattr(nodes, "AGAIN_S", 0.01)
    with (
        socket.create_server(("127.0.0.1", told.port)),
        pytest.raises(NodesError, match="what listens there is not the head"),
    ):
        connect(told, ["127.0.0.1"], {"SLURM_PROCID": "1"})


@pytest.mark.parametrize(
    "hello",
    [
        b'{"nonce": "\xc3\xa9", "rank": 1, "node": "x"}\n{"proof": "\xc3\xa9"}\n',
        b'{"nonce": "x", "rank": 1, "node": "x"}\n',
        b'{"nonce": "x", "rank": 1, "node": "x"}\n[]\n',
        b'"secret"\n',
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\n",
        b"x" * 100_000,
        b"",
    ],
)
def test_a_stranger_neither_ends_nor_holds_the_head(
    told: NodesJob, head: Head, monkeypatch: pytest.MonkeyPatch, hello: bytes
) -> None:
    monkeypatch.setattr(nodes, "JOIN_S", 5.0)
    with socket.create_connection(("127.0.0.1", told.port)) as stranger:
        stranger.sendall(hello)
        (first, _), (second, _) = join(told, 1), join(told, 2)
        head.gather()
    head.end()
    first()
    second()


def test_a_node_that_tries_again_is_there_once_and_the_later_line_counts(
    told: NodesJob, head: Head
) -> None:
    gathering = threading.Thread(target=head.gather, daemon=True)
    gathering.start()
    stale = connect(told, ["127.0.0.1"], {"SLURM_PROCID": "2"})
    again = connect(told, ["127.0.0.1"], {"SLURM_PROCID": "2"})
    first, _ = join(told, 1)
    gathering.join(10)
    assert not gathering.is_alive()
    head.end()
    assert (stale.read(5), again.read(5)) == (None, {"end": True})
    first()
    stale.close()
    again.close()


def broken_pipe(_: Line, _message: Any) -> None:
    raise BrokenPipeError(32, "Broken pipe")


def test_a_node_that_is_gone_before_the_engine_begins_is_named_and_the_job_may_run_again(
    told: NodesJob, head: Head, job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), (second, _) = join(told, 1), join(told, 2)
    head.gather()
    head.check(job, MODEL, "toy")
    first()
    second()
    monkeypatch.setattr(Line, "send", broken_pipe)
    with pytest.raises(EngineAway, match=r"node n[23] of this engine was gone before it began"):
        head.begin({"seed": 3})


def test_nodes_that_are_gone_before_they_are_asked_are_all_named(
    told: NodesJob, head: Head, job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), (second, _) = join(told, 1, None), join(told, 2, None)
    head.gather()
    with monkeypatch.context() as patch:
        patch.setattr(Line, "send", broken_pipe)
        with pytest.raises(PreflightError, match=r"node n2 ended .*\n.*node n3 ended"):
            head.check(job, MODEL, "toy")
    head.end()
    first()
    second()


def test_a_port_that_another_process_took_is_named_and_the_job_may_run_again(
    told: NodesJob, losses: Losses
) -> None:
    with (
        socket.create_server(("", told.port)),
        pytest.raises(EngineAway, match=f"port {told.port} .*run the job again"),
    ):
        Head(told, losses, {})


def test_where_no_process_can_be_started_on_other_nodes(
    job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURMD_NODENAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PreflightError, match="needs a SLURM job, and this is none"):
        run_on_nodes(replace(job, runtime=runtime_settings(nodes_per_engine=2)), "job.json")
    monkeypatch.setattr("shutil.which", lambda _: None)
    problem = srun_problem({"SLURM_JOB_ID": "1", "SLURMD_NODENAME": "n1"})
    assert problem is not None and "no srun" in problem


@pytest.mark.parametrize(
    ("of_srun", "status"), [(0, 0), (1, 1), (75, 75), (137, 75), (143, 75), (-15, 75)]
)
def test_one_step_with_a_process_on_each_node(
    job: FillJob, monkeypatch: pytest.MonkeyPatch, of_srun: int, status: int
) -> None:
    monkeypatch.setattr(nodes, "srun_problem", lambda: None)
    started: list[Command] = []

    def run(commands: list[Command], _: object) -> list[int]:
        started.extend(commands)
        return [of_srun]

    monkeypatch.setattr(nodes, "run_all", run)
    over = replace(job, runtime=runtime_settings(nodes_per_engine=2))
    assert run_on_nodes(over, "job.json") == status
    (command,) = started
    assert command.words[:5] == [
        "srun",
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
    ]
    assert command.words[-3:] == ["-m", "cbdata.fill", "job.json"]
    here = NodesJob.here({**os.environ, **command.environ})
    assert here is not None and here.nodes == 2 and here.port != here.engine_port
    assert "--wait=0" in command.words, "the head may work on when another node has ended"
    assert len(here.secret) == 32 and here.secret not in " ".join(command.words)
    assert orjson.loads(command.environ[nodes.VARIABLE])["log"] == over.log
