"""An engine that answers at once, for measuring everything around the engine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from cbdata.fill.backends.base import Completion, Refusal, RequestQueue

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


class StubEngine:
    """Answers each request with one of a few token sequences, chosen by the request's seed; made
    like the backend that it stands in for.
    """

    name = "stub"
    version = "0"

    def __init__(self, model: str, **_options: Any) -> None:
        self._answers = answers(Path(model))

    def generate(self, queue: RequestQueue) -> Generator[list[Completion | Refusal], None, None]:
        """Yield lists of BATCH completions until the queue is empty."""
        while requests := queue.take(BATCH):
            yield [
                Completion(request, self._answers[request.seed % len(self._answers)], "stop")
                for request in requests
            ]

    def close(self) -> None:
        """Nothing is open."""
