"""How many tokens a completion may have: ``max_tokens`` for the answer, ``max_thinking_tokens`` for
the reasoning before it.

The engine is given the sum and knows nothing of the two parts. Each is counted afterwards, from the
ids and from where the judge found the reasoning. So no token is ever forced, and what is kept is
what the model wrote of its own accord.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.reasoning import HARMONY
from cbdata.call_formats.registry import call_format
from cbdata.call_formats.settle import PROBE_TOOLS, Settled
from cbdata.judge.judgement import Overrun
from cbdata.judge.reading import Parsed
from cbdata.render.renderer import Renderer

THINKING_TOKENS = 4096
"""What a model that reasons may spend on it where ``max_thinking_tokens`` is null."""

_QUESTION = {"role": "user", "content": "When is high tide?"}


class Completions(Protocol):
    """The part of a ``CompletionReader`` that turns ids into what the judge reads."""

    def completion(self, ids: Sequence[int]) -> Completion:
        """The completion of the ids that the engine returned."""
        ...


@dataclass(frozen=True)
class TokenBudget:
    """The most tokens of an answer, end of turn included, and of the reasoning before it, markers
    included.

    ``thinking`` 0: reasoning has no budget of its own and counts as part of the answer.
    """

    answer: int
    thinking: int = 0

    @property
    def longest(self) -> int:
        """What the engine is given: tokens of the longest completion."""
        return self.answer + self.thinking

    def __str__(self) -> str:
        """The budget by the names of its keys."""
        thinking = f" + max_thinking_tokens {self.thinking}" if self.thinking else ""
        return f"max_tokens {self.answer}{thinking}"

    def overrun(self, parsed: Parsed, ids: Sequence[int], reader: Completions) -> Overrun | None:
        """Say which part of a completion has more tokens than it may, or None.

        A token that holds characters of both parts counts as reasoning.

        Args:
            parsed: The completion as the judge reads it.
            ids: Its token ids.
            reader: What turned them into the text that ``parsed`` speaks of.
        """
        if not self.thinking or len(ids) <= min(self.thinking, self.answer):
            return None
        thinking = len(ids) if parsed.unclosed_thinking else _reasoning(parsed, ids, reader)
        if thinking > self.thinking:
            return Overrun(
                "thinking_truncated",
                f"{thinking} tokens of reasoning, max_thinking_tokens is {self.thinking}",
            )
        if len(ids) - thinking > self.answer:
            return Overrun(
                "truncated",
                f"{len(ids) - thinking} tokens behind the reasoning, max_tokens is {self.answer}",
            )
        return None


def _reasoning(parsed: Parsed, ids: Sequence[int], reader: Completions) -> int:
    """How many tokens hold a character of the reasoning.

    By bisection over what the first tokens spell. Reasoning begins and ends with markers, so what
    decoders print for the beginning of a character does not count here.
    """

    def spelled(count: int) -> int:
        return len(reader.completion(ids[:count]).text)

    counts = range(len(ids) + 1)
    return sum(
        bisect_left(counts, end, key=spelled) - (bisect_right(counts, start, key=spelled) - 1)
        for start, end in parsed.thinking_spans
    )


def thinking_tokens(
    given: int | None, renderer: Renderer, settled: Settled, *, constrained: bool
) -> int:
    """The budget of a run's reasoning.

    Args:
        given: ``max_thinking_tokens`` of the configuration.
        renderer: The run's tokenizer and template.
        settled: How the template's completions are read.
        constrained: Whether a grammar holds the model to a call from its first token on.

    Returns:
        What is given; where that is null, THINKING_TOKENS if the template has to do with reasoning
        and its prompt does not end with reasoning that is closed already (``enable_thinking:
        false``), else 0.
    """
    if given is not None:
        return given
    notations = call_format(settled.call_format).reasoning
    source = renderer.template.source
    marks = [mark for each in notations for mark in (each.opening, each.closing)]
    if constrained or not any(mark in source for mark in (*marks, HARMONY.opening)):
        return 0
    prompt = renderer.prompt_text([_QUESTION], PROBE_TOOLS.tools).rstrip()
    return 0 if any(prompt.endswith(each.closing) for each in notations) else THINKING_TOKENS
