"""Nodes of an engine know each other by a secret that none of them sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cbdata.fill import node_hello
from cbdata.fill.node_hello import meet_head, meet_node
from cbdata.fill.node_line import Line

SECRET = "5e" * 16


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    ends = socket.socketpair()
    pair = Line(ends[0]), Line(ends[1])
    yield pair
    for line in pair:
        line.close()


class Noting(Line):
    """A line that remembers what it sent."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)
        super().send(message)


def meet(
    node: Line, head: Line, secret: str = SECRET, rank: int = 1
) -> tuple[bool, tuple[int, str] | None]:
    """What the node, with a secret of its own, and the head, with the job's, find."""
    found: list[tuple[int, str] | None] = []

    def listen() -> None:
        found.append(meet_node(head, SECRET, 3))
        if found[0] is None:
            head.close()

    other = threading.Thread(target=listen)
    other.start()
    met = meet_head(node, secret, rank, "n2")
    if not met:
        node.close()
    other.join(20)
    return met, found[0]


def test_both_know_each_other_and_neither_sends_the_secret() -> None:
    ends = socket.socketpair()
    for rank in (1, 2):
        node, head = Noting(ends[0]), Noting(ends[1])
        assert meet(node, head, rank=rank) == (True, (rank, "n2"))
        assert SECRET not in str([*node.sent, *head.sent])
        assert [sorted(said) for said in node.sent] == [["node", "nonce", "rank"], ["proof"]]
    node.close()
    head.close()


def test_who_has_another_secret_is_known_by_neither(lines: tuple[Line, Line]) -> None:
    assert meet(*lines, secret="other") == (False, None)


def test_a_node_proves_nothing_to_a_stranger(lines: tuple[Line, Line]) -> None:
    ends = socket.socketpair()
    node, stranger = Noting(ends[0]), Line(ends[1])
    stranger.send({"nonce": "x", "proof": "0" * 64})
    assert not meet_head(node, SECRET, 1, "n2")
    assert [sorted(said) for said in node.sent] == [["node", "nonce", "rank"]]
    node.close()
    stranger.close()


def test_a_proof_is_of_no_use_to_who_overhears_it() -> None:
    """Neither a second time, nor in the other direction, nor for another rank."""
    ends = socket.socketpair()
    node, head = Noting(ends[0]), Noting(ends[1])
    assert meet(node, head) == (True, (1, "n2"))
    hello, proof = node.sent
    (challenge,) = head.sent
    for first, second in (
        (hello, proof),
        ({**hello, "rank": 2}, proof),
        (hello, {"proof": challenge["proof"]}),
    ):
        here, there = map(Line, socket.socketpair())
        here.send(first)
        here.send(second)
        assert meet_node(there, SECRET, 3) is None
        here.close()
        there.close()
    here, there = map(Line, socket.socketpair())
    there.send(challenge)
    assert not meet_head(here, SECRET, 1, "n2")
    for line in (here, there, node, head):
        line.close()


@pytest.mark.parametrize(
    ("rank", "nonce"),
    [
        *[(rank, "x") for rank in ("one", True, 0, 3, -1, 1.0, None)],
        *[(1, nonce) for nonce in (None, 7, 1.5, True)],
    ],
)
def test_a_hello_that_is_none_gets_no_answer(
    lines: tuple[Line, Line], rank: Any, nonce: Any
) -> None:
    here, there = lines
    here.sock.sendall(
        (f'{{"rank": {rank!r}, "nonce": {nonce!r}}}\n')
        .replace("'", '"')
        .replace("True", "true")
        .replace("None", "null")
        .encode()
    )
    assert meet_node(there, SECRET, 3) is None
    there.close()
    assert here.sock.recv(1) == b"", "nothing was sent"


@pytest.mark.parametrize("nonce", [None, 7, [], [[[]]], {"a": 1}])
def test_a_stranger_in_the_heads_place_gets_no_proof(lines: tuple[Line, Line], nonce: Any) -> None:
    here, there = lines
    there.send({"nonce": nonce, "proof": "x"})
    assert not meet_head(here, SECRET, 1, "n2")


def test_silence_is_not_waited_for(
    lines: tuple[Line, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_hello, "HELLO_S", 0.05)
    here, there = lines
    assert meet_node(there, SECRET, 3) is None
    assert not meet_head(here, SECRET, 1, "n2")
