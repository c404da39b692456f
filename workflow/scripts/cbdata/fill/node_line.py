"""What the nodes of an engine talk over: lines of JSON, from a side that may be a stranger."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any

import orjson


class Line:
    """A connection of lines of JSON."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._came = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises OSError."""
        self.sock.sendall(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))

    def read(self, seconds: float | None = None, most: int | None = None) -> dict[str, Any] | None:
        """The next message; None where the other side is gone, or sends something else.

        Args:
            seconds: How long the whole of it may take.
            most: How many bytes it may have.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._came:
            left = None if end is None else end - time.monotonic()
            if (left is not None and left <= 0) or (most is not None and len(self._came) > most):
                return None
            try:
                self.sock.settimeout(left)
                more = self.sock.recv(1 << 16)
            except OSError:
                return None
            if not more:
                return None
            self._came += more
        text, _, self._came = self._came.partition(b"\n")
        if most is not None and len(text) > most:
            return None
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return message if isinstance(message, dict) else None

    def close(self) -> None:
        """Close both ways; a thread that reads here sees the end."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
