"""What the render stage counts beside records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cbdata.records.words import RowKind
from cbdata.render.draft import Rendered
from cbdata.render.record import Row

if TYPE_CHECKING:
    from cbdata.render.renderer import Renderer


class Figures:
    """The counts of a trace file."""

    def __init__(self) -> None:
        """Begin with no row."""
        self.totals: Counter[str] = Counter()
        self.control_text: Counter[str] = Counter()
        self.fits: Counter[str] = Counter()

    def count(self, row: Row, rendered: Rendered) -> None:
        """Count a row that was made."""
        totals = self.totals
        totals["tokens_before_cut"] += row.cut.length
        totals["tokens"] += row.cut.kept
        totals["truncated"] += row.cut.side != "none"
        totals["tokens_cut"] += row.cut.length - row.cut.kept
        totals["characters"] += len(rendered.draft.text)
        totals.update(row.spans)
        self.fits.update(rendered.draft.fits)
        if rendered.draft.control_text:
            totals["traces_with_control_text"] += 1
            for _, token, count in rendered.draft.control_text:
                self.control_text[token] += count

    def packed(self) -> dict[str, dict[str, int]]:
        """The counts as they stand in the stats of a part of a file."""
        return {name: dict(counts) for name, counts in vars(self).items()}

    def add(self, packed: Mapping[str, Mapping[str, int]]) -> None:
        """Take in the counts of a part, as ``packed`` gives them."""
        for name, counts in packed.items():
            getattr(self, name).update(counts)

    def details(self, rendered_with: Mapping[str, Any], rows: RowKind) -> dict[str, Any]:
        """The figures as they stand in the stage's stats.

        Args:
            rendered_with: What ``rendered_with`` says of the renderer.
            rows: What a row is.
        """
        totals = self.totals
        keys = (
            "tokens",
            "tokens_before_cut",
            "tokens_cut",
            "truncated",
            "characters",
            "traces_with_control_text",
            "message_spans",
            "assistant_spans",
            "thinking_spans",
            "thinking_left_out",
            "tools_left_out",
            "on_policy",
            "other_prompt",
        )
        figures: dict[str, Any] = {
            key: totals[key]
            for key in (*keys, "tool_call_spans", "action_commitments", "injection_spans")
        }
        figures["cut_fraction"] = (
            round(totals["tokens_cut"] / totals["tokens_before_cut"], 6)
            if totals["tokens_before_cut"]
            else 0.0
        )
        if rows == "turn":
            figures["traces"] = totals["traces"]
        figures["control_text"] = dict(sorted(self.control_text.items()))
        if self.fits:
            figures["template_fit"] = dict(sorted(self.fits.items()))
        return figures | dict(rendered_with)


def rendered_with(renderer: Renderer) -> dict[str, Any]:
    """What the stats say of the tokenizer and the chat template."""
    return {
        "tokenizer_id": renderer.tokenizer_id,
        "tokenizer_sha256": renderer.tokenizer_sha256,
        "chat_template_name": renderer.chat_template_name,
        "chat_template_sha256": renderer.chat_template_sha256,
        "chat_template_kwargs": dict(renderer.settings.chat_template_kwargs),
    }
