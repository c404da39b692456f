"""A tokenised conversation as a render_v1 line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cbdata.ids import derived_id
from cbdata.records import CharSpan, PromptPart, Trace
from cbdata.render.align import TokenizedText
from cbdata.render.draft import Draft, Rendered
from cbdata.render.overlength import Cut, choose_cut, cut_commitments, cut_spans
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RowSettings
from cbdata.render.signals import commitment, injection_token_spans
from cbdata.render.turns import Turn
from cbdata.tools import ToolSchema
from cbdata.traces.injections import injection_spans

PYTHON_TAG = "<|python_tag|>"


@dataclass(frozen=True)
class Row:
    """One line of a render file, and figures for the stats."""

    line: bytes
    cut: Cut
    spans: Mapping[str, int]


class RowWriter:
    """Makes render_v1 lines of one renderer's output."""

    def __init__(self, renderer: Renderer, settings: RowSettings) -> None:
        self._renderer, self._settings = renderer, settings
        control = renderer.tokenizer.control
        self._answer_ends = renderer.landmarks.answer_ends
        ends = {*renderer.landmarks.turn_ends, renderer.tokenizer.special.get("eos_token", "")}
        self._eos_ids = frozenset(control[token].id for token in ends if token in control)
        self._python_tag = control[PYTHON_TAG].id if PYTHON_TAG in control else None
        self._ones = b"1," * settings.max_length
        self._head = orjson.dumps(
            {
                "tokenizer_id": renderer.tokenizer_id,
                "tokenizer_sha256": renderer.tokenizer_sha256,
                "chat_template_sha256": renderer.chat_template_sha256,
            }
        )[1:-1]

    def row(
        self,
        trace: Trace,
        rendered: Rendered,
        schema: ToolSchema | None,
        *,
        tools_included: bool,
        turn_index: int | None = None,
    ) -> Row:
        """Make the line of one trace.

        Args:
            trace: The trace that was rendered.
            rendered: Its text, turns and tokens.
            schema: The tools that its calls chose from, where they are known.
            tools_included: Whether the text holds these tools.
            turn_index: The assistant message that the row ends with, where each has its own row;
                None where the row is the whole trace.

        Raises:
            Reject: The row would be too long, or the injection does not lie in its message.
        """
        draft, tokens = rendered.draft, rendered.tokens
        spans = spans_of(draft.turns, tokens)
        expected = (trace.get("tool_attack") or {}).get("expected_tool")
        names = schema.names if schema else None
        commitments = [
            commitment(turn, call, tokens, names, expected)
            for turn in draft.turns
            for call in turn.calls
        ]
        shown = len(draft.turns) if turn_index is not None else None
        injections = injection_token_spans(
            [span for span in injection_spans(trace) if _is_shown(span, trace, shown)],
            trace["messages"],
            draft.turns,
            tokens,
        )
        cut = choose_cut(
            tokens.length,
            self._settings.max_length,
            self._settings.overlength,
            spans["message_spans"],
        )
        eos, tags = self._special_positions(draft, tokens)
        prompt = self._prompt(rendered, cut)
        if cut.side != "none":
            spans = _cut_alignment(spans, cut)
            commitments = cut_commitments(commitments, cut)
            injections = cut_spans(injections, cut, [("token_start", "token_end")])
            eos, tags = (
                [cut.move(token) for token in positions if cut.holds(token)]
                for positions in (eos, tags)
            )
        written = draft.written is not None
        options = self._options(cut, schema if tools_included else None, written)
        if draft.fits:
            options["template_fit"] = list(draft.fits)
        signals: dict[str, Any] = {"injection_spans": injections, "action_commitments": commitments}
        flagged = [
            {"message_index": message, "token": token, "count": count}
            for message, token, count in draft.control_text
            if message >= 0
        ]
        if flagged:
            signals["control_tokens_in_content"] = flagged
        rest: dict[str, Any] = {"sequence_length": cut.kept}
        if prompt:
            rest["prompt"] = prompt
        rest["alignment"] = spans
        rest["special_tokens"] = {
            "bos_position": 0 if self._renderer.landmarks.bos else None,
            "eos_positions": eos,
            "python_tag_positions": tags,
        }
        rest["signals"] = signals
        if self._settings.include_text:
            rest["rendered_text"] = draft.text
        render_id = derived_id(
            "render",
            trace["id"],
            self._renderer.tokenizer_sha256,
            self._renderer.chat_template_sha256,
            options,
            *(() if turn_index is None else (turn_index,)),
        )
        policy: dict[str, Any] = {"on_policy": written}
        if turn_index is not None:
            policy["turn_index"] = turn_index
            policy["last_turn"] = not any(
                message["role"] == "assistant" for message in trace["messages"][turn_index + 1 :]
            )
        line = b"".join(
            [
                orjson.dumps({"render_id": render_id, "trace_id": trace["id"]})[:-1],
                b",",
                self._head,
                b",",
                orjson.dumps(policy)[1:-1],
                b',"render_options":',
                orjson.dumps(options),
                b',"input_ids":[',
                _ids_json(tokens, cut),
                b'],"attention_mask":[',
                self._ones[: 2 * cut.kept - 1] if cut.kept else b"",
                b"],",
                orjson.dumps(rest, option=orjson.OPT_APPEND_NEWLINE)[1:],
            ]
        )
        counts = {
            "message_spans": len(spans["message_spans"]),
            "assistant_spans": len(spans["assistant_spans"]),
            "thinking_spans": len(spans["thinking_spans"]),
            "tool_call_spans": len(spans["tool_call_spans"]),
            "action_commitments": len(commitments),
            "injection_spans": len(injections),
            "on_policy": int(written),
            "thinking_left_out": sum(turn.thinking_left_out for turn in draft.turns),
        }
        return Row(line, cut, counts)

    def _options(self, cut: Cut, tools: ToolSchema | None, written: bool) -> dict[str, Any]:
        settings = self._renderer.settings
        return {
            "chat_template_name": self._renderer.chat_template_name,
            "add_generation_prompt": False,
            "tools_included": tools is not None,
            "tools_digest": tools.digest if tools else None,
            "max_length": self._settings.max_length,
            "truncated": cut.side != "none",
            "truncation_side": cut.side,
            "full_length": cut.length,
            "overlength": self._settings.overlength,
            "control_tokens": settings.control_tokens,
            "template_date": settings.template_date,
            "completion_tokens": "generated" if written else "template",
            "earlier_thinking": self._settings.earlier_thinking,
            "chat_template_kwargs": dict(settings.chat_template_kwargs),
            "rows": self._settings.rows,
        }

    def _special_positions(
        self, draft: Draft, tokens: TokenizedText
    ) -> tuple[list[int], list[int]]:
        """The tokens that end a turn, and the python tags. A token ends a turn if it ends an
        answer, or if it stands at the end of another turn and is one that ends answers too.
        """
        stops = {turn.stop[0]: turn.role == "assistant" for turn in draft.turns if turn.stop}
        unowned = [
            (stretch.start, stretch.end)
            for stretch in draft.stretches
            if stretch.kind == "unowned" and draft.turns and stretch.end <= draft.turns[0].start
        ]
        length, written = tokens.length, draft.written is not None
        eos, tags = [], []
        ends = self._answer_ends | {
            draft.text[turn.stop[0] : turn.stop[1]].strip()
            for turn in draft.turns
            if turn.stop and turn.role == "assistant"
        }
        control = self._renderer.tokenizer.control
        ids = {control[token].id for token in ends if token in control}
        rows = zip(tokens.token_starts, tokens.char_starts, tokens.segments, strict=True)
        for position, character, segment in rows:
            if segment.text:  # not a control token of the template
                continue
            token = segment.packed[0]
            if token == self._python_tag:
                tags.append(position)
            elif character in stops:
                if stops[character] or token in ids:
                    eos.append(position)
            elif (token in ids and any(a <= character < b for a, b in unowned)) or (
                written and position == length - 1 and token in self._eos_ids
            ):
                eos.append(position)
        return eos, tags

    @staticmethod
    def _prompt(rendered: Rendered, cut: Cut) -> PromptPart | None:
        """Length and hash of what comes before the last assistant turn's own text, if the cut
        leaves all of it in its place.
        """
        length = rendered.prompt_length()
        if length is None or length > cut.head:
            return None
        return {"length": length, "sha256": rendered.tokens.sha256(length)}


def _is_shown(span: CharSpan, trace: Trace, shown: int | None) -> bool:
    """Whether a place of the injection is among the ``shown`` first messages (None: all of them);
    one that the trace does not have stays, to be rejected.
    """
    return shown is None or not shown <= span["message_index"] < len(trace["messages"])


def spans_of(turns: Sequence[Turn], tokens: TokenizedText) -> dict[str, list[dict[str, Any]]]:
    """The ``alignment`` of render_v1, before any cut."""
    messages: list[dict[str, Any]] = []
    assistant: list[dict[str, Any]] = []
    thinking: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    behind = 0
    for turn in turns:
        # A token that two turns or calls share belongs to the first one.
        first = max(tokens.start(turn.start), behind)
        start = max(tokens.start(turn.content_start), first)
        end = max(tokens.end(turn.content_end), start)
        behind = end if turn.end == turn.content_end else max(tokens.end(turn.end), end)
        messages.append(
            {
                "message_index": turn.index,
                "role": turn.role,
                "token_start": first,
                "token_end": behind,
                "content_start": start,
                "content_end": end,
            }
        )
        if turn.role == "assistant":
            assistant.append({"message_index": turn.index, "token_start": start, "token_end": end})
        for low, high in turn.thinking:
            thinking.append(
                {
                    "message_index": turn.index,
                    "token_start": max(tokens.start(low), first),
                    "token_end": tokens.end(high),
                }
            )
        called = start
        for call in turn.calls:
            called, begun = tokens.end(call.end), max(tokens.start(call.start), called)
            calls.append(
                {
                    "message_index": turn.index,
                    "call_index": call.index,
                    "tool_name": call.name,
                    "token_start": begun,
                    "token_end": called,
                    "name_token_start": tokens.start(call.name_start),
                    "name_token_end": tokens.end(call.name_end),
                }
            )
    return {
        "message_spans": messages,
        "assistant_spans": assistant,
        "thinking_spans": thinking,
        "tool_call_spans": calls,
    }


def _cut_alignment(
    spans: Mapping[str, list[dict[str, Any]]], cut: Cut
) -> dict[str, list[dict[str, Any]]]:
    whole = ("token_start", "token_end")
    return {
        "message_spans": cut_spans(
            spans["message_spans"], cut, [whole, ("content_start", "content_end")]
        ),
        "assistant_spans": cut_spans(spans["assistant_spans"], cut, [whole]),
        "thinking_spans": cut_spans(spans["thinking_spans"], cut, [whole]),
        "tool_call_spans": cut_spans(
            spans["tool_call_spans"], cut, [whole, ("name_token_start", "name_token_end")]
        ),
    }


def _ids_json(tokens: TokenizedText, cut: Cut) -> bytes:
    if cut.side == "none":
        return tokens.ids_json()
    return b",".join(
        filter(
            None,
            (
                tokens.ids_json(0, cut.head),
                tokens.ids_json(cut.tail, cut.length) if cut.tail < cut.length else b"",
            ),
        )
    )
