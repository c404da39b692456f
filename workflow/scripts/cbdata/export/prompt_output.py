"""Plain prompt/output pairs, as the original circuit-breaker code reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.atomic_file import discard_together, open_together, publish_together
from cbdata.export import ExportFiles
from cbdata.json_file import write_json
from cbdata.lookup import read_places


def prompt_output(trace: dict[str, Any]) -> dict[str, str] | str:
    """The ``{"prompt", "output"}`` of a single-turn trace, or the reason why it has none.

    The original code wraps ``prompt`` as one user turn and trains on ``output`` after it, so only
    [system,] user, assistant fits. ``output`` is what the model wrote, word for word where the
    trace kept that; the system message is left out.
    """
    roles = [message["role"] for message in trace["messages"]]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    if roles == ["user"]:
        return "skeleton"
    if roles != ["user", "assistant"]:
        return "not_single_turn"
    user, assistant = trace["messages"][-2:]
    output = trace["signal_hints"].get("raw_assistant_content")
    if output is None and assistant.get("tool_calls"):
        return "call_text_not_kept"
    return {"prompt": user["content"], "output": assistant["content"] if output is None else output}


def write(
    files: ExportFiles, outputs: Mapping[str, Path], _options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the outputs ``harmful``, ``benign`` and ``counts``; return the counts."""
    counts = export_prompt_output(files.traces, outputs["harmful"], outputs["benign"])
    write_json(outputs["counts"], counts)
    return counts


def export_prompt_output(traces: Sequence[Path], harmful: Path, benign: Path) -> dict[str, Any]:
    """Write two JSON arrays of prompt/output pairs, one a category.

    Args:
        traces: The traces, a file a data set.
        harmful: The file of the harmful ones.
        benign: The file of the benign ones.

    Returns:
        How many were written by category, and left out by reason.
    """
    written: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    opened = open_together((harmful, benign))
    files = dict(zip(("harmful", "benign"), opened, strict=True))
    try:
        for path in traces:
            for _, trace in read_places(path):
                pair = prompt_output(trace)
                category = trace["labels"]["category"]
                if isinstance(pair, str):
                    left_out[pair] += 1
                    continue
                files[category].write(
                    (b",\n" if written[category] else b"[\n") + orjson.dumps(pair)
                )
                written[category] += 1
        for category, file in files.items():
            file.write(b"\n]\n" if written[category] else b"[]\n")
        publish_together(opened)
    finally:
        discard_together(opened)
    return {"written": dict(sorted(written.items())), "left_out": dict(sorted(left_out.items()))}
