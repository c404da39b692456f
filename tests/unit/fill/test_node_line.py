"""Lines of JSON between nodes."""

from __future__ import annotations

import socket
import threading

from cbdata.fill.node_line import Line


def test_a_line_that_comes_byte_by_byte_has_no_more_time_than_one_at_once() -> None:
    here, there = socket.socketpair()
    line, over = Line(here), threading.Event()

    def drip() -> None:
        while not over.wait(0.02):
            there.sendall(b" ")

    slow = threading.Thread(target=drip)
    slow.start()
    try:
        assert line.read(0.2) is None
    finally:
        over.set()
        slow.join()
        line.close()
        there.close()


def test_a_line_keeps_what_came_with_the_one_before_and_no_more_than_it_may() -> None:
    here, there = socket.socketpair()
    with there:
        line = Line(here)
        there.sendall(b'{"a": 1}\n{"b": 2}\n' + b'{"c": "' + b"x" * 50 + b'"}\n')
        assert [line.read(5), line.read(5, most=20)] == [{"a": 1}, {"b": 2}]
        assert line.read(5, most=20) is None
        line.close()
