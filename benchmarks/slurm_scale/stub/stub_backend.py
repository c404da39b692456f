"""A backend that answers at once, for measuring everything around the engine.

With this folder on PYTHONPATH and ``CB_BACKEND_MODULES=stub_backend`` it is what ``backend: stub``
means; see docs/fill.md.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

import orjson
from tokenizers import Tokenizer

from cbdata.fill.backends.base import (
    EngineHere,
    EngineOptions,
    Generated,
    Needs,
    Refusal,
    RequestQueue,
)
from cbdata.fill.settings import EngineSettings, RuntimeSettings
from cbdata.records import BackendName

BATCH = 32
TOOLS = Path(__file__).resolve().parents[3] / "configs" / "tool_schemas" / "demo_v1.json"


def answers(model: Path) -> list[tuple[int, ...]]:
    """A call of each tool of the demo's schema, and prose, as the model's tokens."""
    texts = ["I cannot help with that."]
    for tool in orjson.loads(TOOLS.read_bytes())["tools"]:
        call = {
            "name": tool["function"]["name"],
            "arguments": dict.fromkeys(tool["function"]["parameters"].get("required", []), "x"),
        }
        texts.append(f"<tool_call>\n{orjson.dumps(call).decode()}\n</tool_call>")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return [tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


class StubBackend:
    """Asks for what a job with one GPU asks for, and can run everywhere."""

    name: BackendName = "stub"
    loads_weights = True

    def needs(self, runtime: RuntimeSettings) -> Needs:
        """See Backend.needs."""
        return Needs.with_gpus(1)

    def environment(self) -> Mapping[str, str]:
        """See Backend.environment."""
        return {}

    def option_problems(self, engine: EngineSettings, runtime: RuntimeSettings) -> list[str]:
        """See Backend.option_problems."""
        return []

    def look(self, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        """See Backend.look."""
        return EngineHere("cuda", "no engine: the answers are written down")

    def open(self, options: EngineOptions) -> StubEngine:
        """See Backend.open."""
        return StubEngine(options.model)


class StubEngine:
    """Answers each request with one of a few token sequences, chosen by the request's seed."""

    name: BackendName = "stub"
    version = "0"

    def __init__(self, model: Path) -> None:
        self._answers = answers(model)

    def generate(self, queue: RequestQueue) -> Generator[list[Generated | Refusal], None, None]:
        """Yield lists of BATCH completions until the queue is empty."""
        while requests := queue.take(BATCH):
            yield [
                Generated(request, self._answers[request.seed % len(self._answers)], "stop")
                for request in requests
            ]

    def close(self) -> None:
        """Nothing is open."""


BACKEND = StubBackend()
