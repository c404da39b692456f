"""An OpenAI-compatible server with faults that a test writes down; it completes a prompt of token
ids with the ids plus one, so that every answer can be checked.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cbdata.fill.backends.endpoint_server import PROBE

Fault = Callable[["Handler", dict[str, Any], int], bool]
"""Gets the handler, the request's body and how often this prompt came before; True if it answered
in its own way.
"""


@dataclass
class Script:
    """What the server does: its models, a fault before each completion, the key it wants. The
    request with which it is tried first is none of those that are seen.
    """

    models: tuple[str, ...] = ("m",)
    context: int | None = 4096
    fault: Fault = lambda handler, body, before: False
    key: str | None = None
    probed: list[dict[str, Any]] = field(default_factory=list)
    probe_fault: Callable[[Handler], bool] = lambda handler: False
    seen: list[dict[str, Any]] = field(default_factory=list)
    answered: Counter[tuple[int, ...]] = field(default_factory=Counter)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: set[socket.socket] = field(default_factory=set)


class Handler(BaseHTTPRequestHandler):
    """Answers for the script that its server holds."""

    protocol_version = "HTTP/1.1"

    @property
    def script(self) -> Script:
        return self.server.script  # type: ignore[attr-defined, no-any-return]

    def setup(self) -> None:
        super().setup()
        self.script.connections.add(self.connection)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def say(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refused_entry(self) -> bool:
        if self.script.key and self.headers.get("Authorization") != f"Bearer {self.script.key}":
            self.say(401, {"error": "no key"})
            return True
        return False

    def do_GET(self) -> None:
        if self.refused_entry():
            return
        if self.path == "/version":
            self.say(200, {"version": "9.9"})
        elif self.path == "/v1/models":
            extra = {"max_model_len": self.script.context} if self.script.context else {}
            self.say(200, {"data": [{"id": name, **extra} for name in self.script.models]})
        else:
            self.say(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused_entry():
            return
        script, prompt = self.script, tuple(body["prompt"])
        if prompt == PROBE:
            script.probed.append(body)
            if not script.probe_fault(self):
                self.say(200, answer(body))
            return
        with script.lock:
            before = sum(tuple(other["prompt"]) == prompt for other in script.seen)
            script.seen.append(body)
            script.at_once += 1
            script.most_at_once = max(script.most_at_once, script.at_once)
        try:
            if not script.fault(self, body, before):
                time.sleep(0.01)
                with script.lock:
                    script.answered[prompt] += 1
                self.say(200, answer(body))
        finally:
            with script.lock:
                script.at_once -= 1


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The answer without a fault."""
    ids = [token + 1 for token in body["prompt"]][: body["max_tokens"]]
    choice = {"token_ids": ids, "prompt_token_ids": body["prompt"], "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"completion_tokens": len(ids)}}


@contextmanager
def serving(
    script: Script, port: int = 0, handler: type[Handler] = Handler, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    kind = type("Server", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6})
    server = (kind if ":" in host else ThreadingHTTPServer)((host, port), handler)
    server.script = script  # type: ignore[attr-defined]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        for connection in script.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()
