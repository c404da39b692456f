"""What was checked, how often, and what failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cbdata.stage import one_line

EXAMPLES = 5

CHECKS = {
    "file_readable": "every line is one JSON object, of a known kind",
    "trace_schema": "row matches trace_v1",
    "trace_id_unique": "no trace id twice",
    "trace_calls": "call ids are unique in a trace, tool messages answer an earlier call",
    "trace_completeness": (
        "a skeleton does not end with an assistant turn, a complete trace has one"
    ),
    "trace_labels": "harmful means that an attack was present and succeeded",
    "trace_injection_span": "the injection's characters lie inside their message",
    "split_tasks": "no user task stands in two splits, where they are split by task",
    "split_injections": "no injection stands in two splits, where they are split by injection",
    "trace_twins": "DS and DR of one skeleton name each other and have the same parent and split",
    "render_schema": "row matches render_v1",
    "render_id_unique": "no render id twice",
    "render_join": "the render's trace is there, and has one render a tokenizer and turn",
    "render_lengths": "input_ids, attention_mask and sequence_length agree, and fit max_length",
    "render_spans": (
        "spans are half-open, in range, in order, and nested: name in call, call in its assistant"
        " turn"
    ),
    "render_prompt": (
        "the prompt's hash is that of the ids before its length, and that of the generation"
    ),
    "render_completion": (
        "on_policy says whether the row ends with generated ids, and those behind the prompt are"
        " the trace's completion_token_ids"
    ),
    "lossmask_schema": "row matches lossmask_v1",
    "lossmask_id_unique": "no loss mask id twice in a file",
    "lossmask_join": "the mask's render is there, of the same trace, and has one mask a file",
    "lossmask_complete": "every render has a mask or a reject",
    "lossmask_lengths": "loss_mask, labels and input_ids have equal lengths",
    "lossmask_labels": "labels are input_ids where the mask is above 0, else -100, not shifted",
    "lossmask_not_empty": "at least one token has loss, unless the policy allows none",
    "lossmask_roles": "loss only in turns of the roles that the policy trains",
    "lossmask_policy": "the mask is the one that the policy gives for this render",
    "lossmask_stats": "token counts and ratio are those of the mask",
    "lossmask_weights": (
        "sample_weight is the trace's weight times class_weight; zero_weight says whether it is 0"
    ),
    "lossmask_trace": "category, class_id, split and pair_id are those of the trace",
    "reject_schema": "row matches reject_v1",
    "stats_schema": "file matches stats_v1",
    "conservation": (
        "records in = out + rejected + duplicates + not selected, and the files have as many lines"
    ),
}


class ValidationFailed(RuntimeError):
    """Files of the run do not pass; the table says which checks failed and where."""


@dataclass
class Result:
    """Counts of one check, with the first few failures."""

    checked: int = 0
    failed: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Findings:
    """Results by check name. ``notes`` hold what could not be checked and why."""

    results: dict[str, Result] = field(default_factory=lambda: {name: Result() for name in CHECKS})
    notes: list[str] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)

    def expect(
        self, check: str, holds: bool, where: object, detail: str | Callable[[], str]
    ) -> bool:
        """Count one check of one record or file, and keep the first failures as examples.

        Args:
            check: A name of CHECKS.
            holds: Whether what must hold does.
            where: The file, or the place in it.
            detail: What was found in place of it; a function is called only where that is needed.

        Returns:
            ``holds``.
        """
        result = self.results[check]
        result.checked += 1
        if not holds:
            result.failed += 1
            if len(result.examples) < EXAMPLES:
                text = detail if isinstance(detail, str) else detail()
                result.examples.append(f"{where}: {text}")
        return holds

    def note(self, text: str) -> None:
        """Remember, once, something that could not be checked."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def failed(self) -> int:
        """Number of failures over all checks."""
        return sum(result.failed for result in self.results.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        checks = {
            name: {
                "what": CHECKS[name],
                "checked": result.checked,
                "failed": result.failed,
                "examples": result.examples,
            }
            for name, result in self.results.items()
        }
        return {
            "passed": self.failed == 0,
            "records": self.records,
            "checks": checks,
            "notes": self.notes,
        }

    def table(self) -> str:
        """The results as text: one line a check, then the examples of what failed, then the
        notes.
        """
        rows = [(name, result.checked, result.failed) for name, result in self.results.items()]
        lines = [f"{'check':<22}{'checked':>12}{'failed':>10}  what must hold", "-" * 100]
        lines += [
            f"{name:<22}{checked:>12,}{failed:>10,}  {CHECKS[name]}"
            for name, checked, failed in rows
        ]
        for name, result in self.results.items():
            if result.failed:
                lines += [
                    "",
                    f"{name}: {result.failed:,} failed, the first {len(result.examples)}:",
                ]
                lines += [f"  {example}" for example in result.examples]
        if self.notes:
            lines += ["", "Not checked:", *(f"  {note}" for note in self.notes)]
        counted = ", ".join(f"{count:,} {kind}" for kind, count in self.records.items())
        verdict = "PASSED" if self.failed == 0 else f"FAILED: {self.failed:,} failures"
        return "\n".join([*lines, "", f"{verdict} ({counted or 'no records'})", ""])


def require_passed(data: str | Path, table: str | Path) -> str:
    """Make an error of results that ``Findings.as_dict`` wrote, if a check failed.

    Args:
        data: The results as JSON.
        table: The same as text, for the message.

    Returns:
        The verdict in one line.

    Raises:
        ValidationFailed: Says which checks failed how often, gives the first failure, and names
            the table.
    """
    results = orjson.loads(Path(data).read_bytes())
    failed = {name: check for name, check in results["checks"].items() if check["failed"]}
    if not failed:
        return f"every check passed: {table}"
    counts = ", ".join(f"{name} {check['failed']:,}" for name, check in failed.items())
    first = next(iter(failed.values()))
    example = one_line(first["examples"][0]) if first["examples"] else first["what"]
    raise ValidationFailed(
        f"validation failed: {counts}. First: {example}. All of them: {table}. Hint: remove a file"
        " that was changed by hand and run the same command again; files that this workflow wrote"
        " and nobody changed must pass, so report it if one does not"
    )
