"""Nemotron's agentic indirect prompt injections to skeletons of one call, with their own tools.

Source: nvidia/Nemotron-RL-Agentic-Indirect-Prompt-Injection-v1, CC BY 4.0; the form is that of the
resource server in NVIDIA-NeMo/Gym. A row has the conversation's beginning, its tools, a world as
JSON (``environment``) with the injection in one of its texts, and what the attack aims at, tool and
arguments.

The rows stop before the model has read anything. So the call that reads the injection is made up
here, where the row itself leaves no doubt about it (``cbdata.sources.simulated_read``); the others
are rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbdata.progress import Progress
from cbdata.rejects import Reasons, Reject
from cbdata.sources import SourceError, shown
from cbdata.sources.one_call import OneCall, Place, skeleton
from cbdata.sources.options import DEFAULTS, LoadOptions
from cbdata.sources.raw_lines import parse_object
from cbdata.sources.raw_records import read_records
from cbdata.sources.reasons import READING
from cbdata.sources.simulated_read import REASONS as READ
from cbdata.sources.simulated_read import simulate_read
from cbdata.sources.splits import Split, SplitAssigner
from cbdata.sources.spool import collecting
from cbdata.sources.tool_lists import REASONS as TOOL_LISTS
from cbdata.sources.tool_lists import read_tools
from cbdata.stage import StageFiles

DATASET = "nemotron_ipi"

REASONS: Reasons = {
    **READING,
    **TOOL_LISTS,
    **READ,
    "unknown_input_item": "the beginning of the conversation holds more than messages of system"
    " and user",
    "unknown_tool": "the attack aims at a tool that the row does not have",
}

ROLES = {"system": "system", "developer": "system", "user": "user"}


def convert(
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions = DEFAULTS,
) -> None:
    """Convert rows to skeletons; write traces, rejects and stats, published together.

    Args:
        raw: The one file of the rows.
        tool_schemas: None: each skeleton carries its tools.
        split: A split's name, or names with fractions that add up to 1. Fractions go by the user's
            message, or by the injection, without case, punctuation and spacing.
        outputs: Where traces, rejects and stats go.
        max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
        options: What takes part.

    Raises:
        SourceError: No run can use the input.
        TooManyRejects: More was rejected than is allowed.
    """
    if len(raw) != 1:
        raise SourceError(f"nemotron_ipi_path: expected one file, got {len(raw)}. Hint: join them")
    path = Path(raw[0])
    assign = SplitAssigner(split, options.split_by)
    progress = Progress("nemotron_ipi rows", files=[path])
    with collecting("nemotron_ipi_skeletons", REASONS, outputs, options, max_reject_fraction) as (
        writer,
        spool,
    ):
        for line in read_records(path):
            if not line.data and line.problem is None:
                continue
            writer.take()
            try:
                case = _case(parse_object(line))
                spool.add(*skeleton(case, Place(path.name, line.number or 1), assign))
            except Reject as problem:
                writer.reject(problem, file=path.name, line=line.number, raw=line.data)
            progress.add()
        writer.details = spool.settle(writer)
    progress.finish(f"{writer.records_out} kept")


def _case(record: dict[str, Any]) -> OneCall:
    """What a row's skeleton is made of. Raises Reject."""
    request = _field(record, "responses_create_params", dict)
    injection = _field(record, "injection", dict)
    _, text, target = (
        _field(injection, key, str) for key in ("goal", "injection_text", "target_tool")
    )
    tools = read_tools(request.get("tools"), "responses_create_params.tools")
    names = [tool["function"]["name"] for tool in tools]
    if target not in names:
        raise Reject(
            "unknown_tool", f"target_tool: expected a tool of the row, got {shown(target)}"
        )
    before = _messages(_field(request, "input", list))
    required = record.get("required_tools") or []
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise Reject("wrong_type", f"required_tools: expected names, got {shown(required)}")
    read = simulate_read(
        _field(record, "environment", dict),
        text,
        [tool for tool in tools if tool["function"]["name"] != target],
        required,
    )
    left = [name for name in required if name != read.tool and name in names]
    return OneCall(
        dataset=DATASET,
        before=before,
        tool=read.tool,
        arguments=read.arguments,
        result=read.result,
        span=read.span,
        tools=tools,
        simulated_tool=target,
        expected_tool=left[0] if left else None,
        task={
            "family": _text(record.get("domain")) or DATASET,
            "name": "+".join(required) or None,
            "variant": _text(injection.get("vector")),
        },
        attack_type=_text(injection.get("attack_strategy")),
        capability=_text(injection.get("category")),
        raw_id=None,
        source_fields={
            **record,
            "responses_create_params": {
                key: value for key, value in request.items() if key not in ("input", "tools")
            },
        },
        flags=["simulated_read"],
    )


def _field(record: dict[str, Any], key: str, kind: type) -> Any:
    value = record.get(key)
    if value is None or value == "":
        raise Reject("missing_field", f"{key}: expected {kind.__name__}, the row has none")
    if not isinstance(value, kind):
        raise Reject("wrong_type", f"{key}: expected {kind.__name__}, got {shown(value)}")
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _messages(items: list[Any]) -> list[dict[str, Any]]:
    """The beginning of the conversation: messages of the Responses API."""
    messages = []
    for index, item in enumerate(items):
        role = item.get("role") if isinstance(item, dict) else None
        content = item.get("content") if isinstance(item, dict) else None
        if isinstance(content, list) and all(
            isinstance(block, dict)
            and block.get("type") in ("input_text", "text")
            and isinstance(block.get("text"), str)
            for block in content
        ):
            content = "\n".join(block["text"] for block in content)
        if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
            raise Reject(
                "unknown_input_item",
                f"input[{index}]: expected a message of system or user, got {shown(item)}",
            )
        messages.append({"role": ROLES[role], "content": content})
    if not messages or messages[-1]["role"] != "user":
        raise Reject("unknown_input_item", "input: expected a user's message at its end")
    return messages
