"""The facts of an AgentDojo run, from either form that records have: exports and run files."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from cbdata.rejects import Reject
from cbdata.sources import shown

DEFENSES = (
    "tool_filter",
    "transformers_pi_detector",
    "spotlighting_with_delimiting",
    "repeat_user_prompt",
    "piguard_detector",
    "prompt_guard_2_detector",
    "drift",
    "progent",
    "camel",
)
"""What AgentDojo (``agent_pipeline.DEFENSES``) and AgentDyn (the last five) append to a pipeline's
name: ``gpt-4o-2024-05-13-tool_filter``.
"""

ISOLATION = "-injection"
"""What DRIFT's own folders have between model and defence where it isolates injections."""

FAMILIES = {
    "gpt": "gpt",
    "claude": "claude",
    "gemini": "gemini",
    "command": "command",
    "llama": "llama",
    "mixtral": "mistral",
    "mistral": "mistral",
    "qwen": "qwen",
    "secalign": "llama",
}
"""Model family by a part of the model's name, first match."""


class Run(NamedTuple):
    """The facts of one run, whichever form it was written in. ``judged`` tells whether the
    benchmark said anything about how it ended. ``source_fields`` are the other facts, ``security``
    left out on purpose.
    """

    suite: str
    pipeline: str | None
    user_task: str
    injection_task: str | None
    attack_type: str | None
    security: Any
    judged: bool
    error: str | None
    injections: list[str]
    raw_format: str
    source_fields: dict[str, Any]

    @property
    def raw_id(self) -> str:
        """``pipeline/suite/user_task/attack/injection``, the path of the run in the benchmark's own
        tree.
        """
        return "/".join(
            (
                self.pipeline or "unknown",
                self.suite,
                self.user_task,
                self.attack_type or "none",
                self.injection_task or "none",
            )
        )


def _text(fields: dict[str, Any], key: str) -> str | None:
    """A field that must be a string; absent, null and empty are None. Raises Reject."""
    value = fields.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Reject("wrong_type", f"{key}: expected a string or null, got {shown(value)}")
    return value


def _required(fields: dict[str, Any], key: str) -> str:
    """A field that must be there and be a string. Raises Reject."""
    value = _text(fields, key)
    if value is None:
        raise Reject("missing_field", f"{key}: expected a string, the record has none")
    return value


def _none(value: str | None) -> str | None:
    """AgentDojo's own word for no attack and no injection, in paths and command lines, is
    ``none``.
    """
    return None if value == "none" else value


def read_run(record: dict[str, Any]) -> Run:
    """The facts of a record in either form: an export with ``metadata``, or a run file with its
    fields at the top. Raises Reject.
    """
    if "metadata" in record:
        fields = record["metadata"]
        if type(fields) is not dict:
            raise Reject("wrong_type", f"metadata: expected an object, got {shown(fields)}")
        raw_format, pipeline_key, utility_key = "agentdojo_export", "model", "success"
        source = {**record, **fields}
        del source["metadata"]
    else:
        fields = record
        raw_format = (
            "agentdojo_run"
            if "agentdojo_package_version" in fields
            else "agentdojo_run_string_content"
        )
        pipeline_key, utility_key = "pipeline_name", "utility"
        source = record.copy()
    source.pop("messages", None)
    source.pop("security", None)
    injections = record.get("injections") or {}
    if type(injections) is not dict or not all(type(text) is str for text in injections.values()):
        raise Reject(
            "wrong_type", f"injections: expected an object of texts, got {shown(injections)}"
        )
    return Run(
        suite=_required(fields, "suite_name"),
        pipeline=_text(fields, pipeline_key),
        user_task=_required(fields, "user_task_id"),
        injection_task=_none(_text(fields, "injection_task_id")),
        attack_type=_none(_text(fields, "attack_type")),
        security=fields.get("security"),
        judged=not (fields.get("security") is None and fields.get(utility_key) is None),
        error=_text(record, "error") or _text(fields, "error"),
        injections=sorted(set(injections.values())),
        raw_format=raw_format,
        source_fields=source,
    )


@functools.lru_cache(maxsize=256)
def split_pipeline(pipeline: str | None) -> tuple[str | None, str | None, str | None]:
    """(model, family of the model, defence) of a pipeline's name; None for what the name does not
    tell.
    """
    model, defense = pipeline, None
    for known in DEFENSES:
        if pipeline is not None and pipeline.endswith("-" + known):
            model, defense = pipeline.removesuffix("-" + known), known
    if model is not None and defense == "drift":
        model = model.removesuffix(ISOLATION)
    lowered = (model or "").lower()
    return (
        model,
        next((family for part, family in FAMILIES.items() if part in lowered), None),
        defense,
    )
