"""Traces to the drafts of their rows, before anything is tokenised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cbdata.records import Trace
from cbdata.records.words import ROLES
from cbdata.rejects import Reject
from cbdata.render.draft import Draft, Rendered
from cbdata.render.generated import spell_completion
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderStageSettings
from cbdata.render.trace_tools import TraceTools
from cbdata.schemas import all_errors
from cbdata.tools import ToolSchema

NOT_A_TRACE = (KeyError, TypeError, AttributeError, IndexError)
"""What reading a field that is not there, or is of another type, raises."""


@dataclass(slots=True)
class Pending:
    """A row on its way: ``draft`` is tokenised together with those of its chunk, or is the error of
    one that has none. ``turn``: the assistant message that the row ends with, if it is not the
    whole trace.
    """

    line: int
    trace: Trace
    draft: Draft | Reject | Rendered
    schema: ToolSchema | None = None
    tools_included: bool = False
    turn: int | None = None

    @property
    def completes(self) -> bool:
        """Whether the row ends with a completion that was made here."""
        last = self.turn is None or self.turn == len(self.trace["messages"]) - 1
        return last and "generation" in self.trace["raw_metadata"]


_NOT_DRAFTED = Reject("invalid_trace", "not drafted yet")


class Drafter:
    """Drafts the rows of traces.

    Args:
        renderer: What renders messages.
        tools: Which tools belong to a trace, and whether they are shown.
        options: Skeletons, rows and which tokens of a completion are taken.
    """

    def __init__(self, renderer: Renderer, tools: TraceTools, options: RenderStageSettings) -> None:
        self._renderer, self._tools, self._options = renderer, tools, options

    def items(self, line: int, trace: Trace) -> Iterator[Pending]:
        """The rows to be of a trace.

        Args:
            line: Its line in the trace file.
            trace: The trace, as it was read: it may not be one.

        Yields:
            Every row with its draft, or with the error of one that has none; where the trace itself
            cannot be rendered, one with that error.
        """
        try:
            schema, included = self._check(trace)
            turns: list[int | None] = [None]
            if self._options.rows == "turn":
                turns = [*_assistant_turns(trace)] or turns
        except Reject as error:
            yield Pending(line, trace, error)
            return
        except NOT_A_TRACE as error:
            yield Pending(line, trace, invalid(trace, error))
            return
        for turn in turns:
            item = Pending(line, trace, _NOT_DRAFTED, schema, included, turn)
            try:
                item.draft = self.draft(item)
            except Reject as error:
                item.draft = error
            except NOT_A_TRACE as error:
                item.draft = invalid(trace, error)
            yield item

    def _check(self, trace: Trace) -> tuple[ToolSchema | None, bool]:
        """The tools of a trace and whether they are shown. Raises Reject for one that cannot be
        rendered.
        """
        if not self._options.allow_skeleton and (
            trace["completeness"] == "skeleton" or not _assistant_turns(trace)
        ):
            raise Reject(
                "skeleton_not_allowed", "the trace has no completion, and allow_skeleton is false"
            )
        if not trace["messages"]:
            raise Reject("no_messages", "the trace has no message")
        if any(message["role"] not in ROLES for message in trace["messages"]):
            raise Reject("invalid_trace", all_errors("trace_v1", dict(trace)))
        return self._tools.of(trace)

    def draft(self, item: Pending) -> Draft:
        """Render and lay out one row to be.

        Raises:
            Reject: It cannot be rendered, or its prompt is not the one that asks for its turn.
        """
        trace, renderer, kept = item.trace, self._renderer, self._options.earlier_thinking
        tools = item.schema.shared if item.schema and item.tools_included else None
        if item.completes and self._options.completion_tokens == "generated":
            written, spans = spell_completion(trace, renderer.speller)
            return renderer.draft_written(
                trace["messages"], tools, written, spans, earlier_thinking=kept
            )
        if item.turn is None:
            split = "generation" in trace["raw_metadata"]
            return renderer.draft(
                trace["messages"], tools, split_prompt=split, earlier_thinking=kept
            )
        messages = trace["messages"][: item.turn + 1]
        draft = renderer.draft(messages, tools, split_prompt=True, earlier_thinking=kept)
        asked = renderer.prompt_text(messages[:-1], tools)
        if draft.prompt_end() != len(asked) or not draft.text.startswith(asked):
            raise Reject(
                "turn_not_behind_prompt",
                f"message {item.turn}: the prompt that asks for it ends with {asked[-60:]!r}",
            )
        return draft


def _assistant_turns(trace: Trace) -> list[int]:
    return [
        index for index, message in enumerate(trace["messages"]) if message["role"] == "assistant"
    ]


def invalid(trace: Trace, error: Exception) -> Reject:
    """The reject of a record that trace_v1 does not allow; another error is raised again, because
    then the fault is here.
    """
    wrong = all_errors("trace_v1", dict(trace))
    if not wrong:
        raise error
    return Reject("invalid_trace", f"{wrong} ({type(error).__name__}: {error})")
