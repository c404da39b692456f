"""A stand-in for an engine over several nodes: the benchmark's stub, whose further nodes wait.

``CB_TEST_SECONDS`` is what an answer takes; ``CB_TEST_MISSING`` is a node that has not the model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from stub_backend import StubBackend, StubEngine

from cbdata.fill.backends.base import (
    EngineHere,
    EngineOptions,
    EnginePlace,
    Generated,
    Needs,
    Refusal,
    RequestQueue,
)
from cbdata.fill.settings import RuntimeSettings


class Backend(StubBackend):
    """Has as many GPUs as it is asked for."""

    def needs(self, runtime: RuntimeSettings) -> Needs:
        return Needs.with_gpus(runtime.gpus)

    def look(self, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        node, missing = os.environ.get("SLURMD_NODENAME"), os.environ.get("CB_TEST_MISSING")
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        problem = "/models/large: no such folder" if node == missing else None
        return EngineHere("cuda", f"stand-in on GPUs {gpus}", problem)

    def open(self, options: EngineOptions) -> Engine:
        return Engine(options)

    def follow(self, model: Path, arguments: Mapping[str, Any], place: EnginePlace) -> None:
        print(f"part {place.rank} of {place.count}, seed {arguments['seed']}", flush=True)
        while True:
            time.sleep(60)


class Engine(StubEngine):
    """Answers one request at a time."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options.model)
        self._nodes = options.nodes
        if self._nodes is not None:
            self._nodes.begin({"seed": options.seed})

    def generate(self, queue: RequestQueue) -> Generator[list[Generated | Refusal], None, None]:
        while requests := queue.take(1):
            time.sleep(float(os.environ.get("CB_TEST_SECONDS", "0")))
            yield [
                Generated(request, self._answers[request.seed % len(self._answers)], "stop")
                for request in requests
            ]

    def close(self) -> None:
        if self._nodes is not None:
            self._nodes.end()


BACKEND = Backend()
