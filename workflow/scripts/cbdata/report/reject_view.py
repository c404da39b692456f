"""One reject as the viewer shows it, with what the model was asked and what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from cbdata.decision_points.reasons import REASONS as CUT
from cbdata.fill.prompts import skeleton_messages
from cbdata.fill.reasons import REASONS as FILL
from cbdata.lossmask.reasons import REASONS as LOSSMASK
from cbdata.records import MODES, Mode
from cbdata.rejects import Reasons, Reject
from cbdata.render.reasons import REASONS as RENDER
from cbdata.sources.reasons import READING
from cbdata.sources.registry import SOURCES

RAW_CHARS = 6_000
PROMPT_CHARS = 6_000

NOT_SHOWN = ("completion", "completion_token_ids", "completion_spans")
"""Keys of a rejected completion that the raw record leaves out: the text is shown by itself, and
nobody reads the others.
"""


def meaning(stage: str, name: str, reason: str) -> str:
    """What a reason means by the stage's own table; empty for one that no table has.

    Args:
        stage: The stage that rejected the record.
        name: The data set, which tells the source where ETL_A rejected it.
        reason: The reason's code.
    """
    tables: dict[str, Reasons] = {"cut": CUT, "fill": FILL, "render": RENDER, "lossmask": LOSSMASK}
    if stage != "etl_a":
        return tables.get(stage, {}).get(reason, "")
    own = [source.own_reasons() for source in SOURCES if source.dataset == name]
    return next((table[reason] for table in (READING, *own) if reason in table), "")


def mode_of(name: str) -> Mode | None:
    """The mode of a data set of the fill stage, by the end of its name; None for another name."""
    return next((mode for mode in MODES if name.endswith(f"_{mode}")), None)


def prompt_of(skeleton: Mapping[str, Any], mode: Mode, generation: Mapping[str, Any]) -> list[Any]:
    """``[role, text]`` of every message that the model was shown: with the injection taken out
    where a DR's was, and with the system message's suffix.

    Args:
        skeleton: The skeleton that was to be completed.
        mode: The mode of the completion.
        generation: How it was generated; empty where nothing was, and the messages are then those
            of the skeleton.
    """
    suffix = {f"{mode}_system_suffix": generation.get("system_suffix", "")}
    try:
        messages = skeleton_messages(
            skeleton, mode, dr_context=generation.get("dr_context", "kept"), **suffix
        )
    except Reject:
        messages = skeleton["messages"]
    return [[message["role"], message["content"] or ""] for message in messages]


def _cut(prompt: list[Any], chars: int) -> tuple[list[Any], int]:
    """The last ``chars`` characters of a prompt, and how many characters it has in all."""
    total = sum(len(text) for _, text in prompt)
    kept, left = [], chars
    for role, text in reversed(prompt):
        if left <= 0:
            break
        kept.append([role, text[-left:]])
        left -= len(text)
    return kept[::-1], total


def _text(raw: Any) -> str:
    if raw is None:
        return ""
    return raw if isinstance(raw, str) else orjson.dumps(raw, option=orjson.OPT_INDENT_2).decode()


def reject_record(
    row: Mapping[str, Any], name: str = "", skeleton: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the viewer shows of one reject.

    Args:
        row: The row of the reject file.
        name: The data set that the file belongs to.
        skeleton: The skeleton of a reject of the fill stage, where it is known.

    Returns:
        ``detail`` and ``meaning`` of the reason, and ``raw``, the raw record as indented JSON cut
        at RAW_CHARS characters of ``rawLength``. With a skeleton also ``asked``, the tools that it
        names and what was called, and ``prompt``, its last PROMPT_CHARS characters of
        ``promptLength``. ``completion`` is what the model wrote, cut at RAW_CHARS characters of
        ``completionLength``.
    """
    raw = row.get("raw")
    shown: dict[str, Any] = {
        "detail": row["detail"],
        "meaning": meaning(row["stage"], name, row["reason"]),
    }
    mode = mode_of(name) if row["stage"] == "fill" else None
    generated: Mapping[str, Any] = raw if mode and isinstance(raw, dict) else {}
    written = generated.get("completion")
    if isinstance(written, str):
        shown["completion"], shown["completionLength"] = written[:RAW_CHARS], len(written)
        raw = {key: value for key, value in generated.items() if key not in NOT_SHOWN} or None
    if mode and skeleton is not None:
        attack = skeleton.get("tool_attack") or {}
        shown["asked"] = {
            "mode": mode,
            "expected tool": attack.get("expected_tool"),
            "tool of the attack": attack.get("simulated_tool"),
            "observed tool": generated.get("observed_tool"),
        }
        prompt = prompt_of(skeleton, mode, generated.get("generation", {}))
        shown["prompt"], shown["promptLength"] = _cut(prompt, PROMPT_CHARS)
    text = _text(raw)
    return shown | {"raw": text[:RAW_CHARS], "rawLength": len(text)}
