"""Rows of completions judged one by one: what ``judge_completions.py`` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.settle import settle
from cbdata.call_formats.turn_ends import turn_ends
from cbdata.config import default_settings
from cbdata.judge.judgement import Judgement, Mode, judge
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.tools import ToolSchema

MODES: tuple[Mode, ...] = ("ds", "dr")


class RowError(ValueError):
    """A row that cannot be judged: names the line and what was expected."""


@dataclass(frozen=True)
class RowJudge:
    """Judges rows by one set of rules; ``renderer`` reads token ids and finds control tokens."""

    tools: ToolSchema
    rules: ReadingRules
    renderer: Renderer | None = None

    @classmethod
    def of_model(
        cls,
        tools: ToolSchema,
        tokenizer: str,
        chat_template: str | None = None,
        call_format: str | None = None,
        accept_calls_in_prose: bool = False,
    ) -> RowJudge:
        """A judge of one model's completions.

        Args:
            tools: the tools that the model was shown.
            tokenizer: a directory with the tokenizer.
            chat_template: as in the configuration; None: the tokenizer's own.
            call_format: a format by name; None: the one that reads the template's calls back.
            accept_calls_in_prose: see ReadingRules.

        Raises:
            TokenizerError: tokenizer or template cannot be used.
            UnsettledFormat: no format, or more than one, reads the template's calls back.
        """
        renderer = Renderer.load(
            default_settings(RenderSettings, tokenizer=tokenizer, chat_template=chat_template)
        )
        found = settle(renderer, turn_ends(renderer, Path(tokenizer)), call_format)
        rules = ReadingRules(
            found.call_format, found.end_tokens, found.thinking_open, accept_calls_in_prose
        )
        return cls(tools, rules, renderer)

    def judge(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One row's result. Raises RowError."""
        _check(row)
        parsed = read_completion(self._completion(row), self.tools, self._rules(row))
        found: dict[str, Judgement] = {
            mode: judge(
                parsed,
                finish_reason=row.get("finish_reason") or "stop",
                mode=mode,
                expected_tool=row.get("expected_tool"),
                simulated_tool=row.get("simulated_tool"),
                tool_schema=self.tools,
            )
            for mode in MODES
        }
        said = next((each for each in found.values() if each.accepted), found["dr"])
        return {
            **({"id": row["id"]} if "id" in row else {}),
            "outcome": said.outcome,
            "outcomes": {mode: each.outcome for mode, each in found.items()},
            "accepted": {mode: each.accepted for mode, each in found.items()},
            "call_format": said.call_format,
            "calls": [
                {"name": call.name, "arguments": call.arguments, "markup": call.markup}
                for call in said.calls
            ],
            "content": said.content,
            "thinking": said.thinking,
            "spans": said.spans,
            "detail": said.detail,
        }

    def _completion(self, row: Mapping[str, Any]) -> Completion:
        ids, text = row.get("token_ids"), row.get("text")
        if ids is not None:
            if not isinstance(ids, list) or not all(type(each) is int for each in ids):
                raise RowError(f"token_ids: expected a list of integers, found {ids!r:.60}")
            if self.renderer is None:
                raise RowError("token_ids need a tokenizer. Hint: --tokenizer DIR")
            tokenizer = self.renderer.tokenizer
            size = tokenizer.model.get_vocab_size(with_added_tokens=True)
            special = {token.id for token in tokenizer.control.values()}
            if odd := [each for each in ids if not 0 <= each < size and each not in special]:
                raise RowError(f"token_ids: {odd[0]} is no token of this tokenizer")
            return Completion.from_ids(ids, self.renderer.tokenizer, self.renderer.decode)
        if not isinstance(text, str):
            raise RowError("expected text (a string) or token_ids (a list of integers)")
        return Completion.spelled(text, self.renderer.tokenizer if self.renderer else None)

    def _rules(self, row: Mapping[str, Any]) -> ReadingRules:
        """A row may say itself whether its prompt left reasoning open."""
        given = row.get("thinking_open")
        return self.rules if given is None else replace(self.rules, thinking_open=given)


_TYPES = {"expected_tool": str, "simulated_tool": str, "finish_reason": str, "thinking_open": bool}


def _check(row: Mapping[str, Any]) -> None:
    """Raises RowError for a key whose value has another type than it must have."""
    for key, kind in _TYPES.items():
        value = row.get(key)
        if value is not None and type(value) is not kind:
            wanted = {str: "a string", bool: "true or false"}[kind]
            raise RowError(f"{key}: expected {wanted}, found {value!r:.60}")


def read_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number from 1, row)`` of a JSON Lines file. Raises RowError.

    The standard library's reader, not orjson: what a model wrote may hold lone surrogates.
    """
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                row = json.loads(line.decode("utf-8", errors="surrogatepass"))
            except (ValueError, RecursionError) as error:
                raise RowError(
                    f"{path}: line {number}: expected a JSON object ({error})"
                ) from error
            if not isinstance(row, dict):
                raise RowError(f"{path}: line {number}: expected a JSON object")
            yield number, row
