"""How a run's completions are read: settled with the model's own tokenizer and template, before the
model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cbdata.call_formats.base import MARK
from cbdata.call_formats.completion import Completion, structural_tokens
from cbdata.call_formats.registry import AUTO, call_format
from cbdata.call_formats.settle import Settled, UnsettledFormat, settle
from cbdata.call_formats.turn_ends import engine_ends, turn_ends
from cbdata.fill.settings import FillSettings
from cbdata.fill.token_budget import thinking_tokens
from cbdata.judge.reading import ReadingRules
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.settings import settings_from
from cbdata.tools import ToolSchema, ToolSchemaError

TAIL_TOKENS = 24
"""So many tokens at the end of a prompt show whether it leaves reasoning open: more than any
format's marker for it has.
"""


@dataclass(frozen=True)
class CallReading:
    """The settled format of a run.

    ``stop_token_ids``: end tokens at which the engine would not stop by itself, ascending.
    ``grammar``: that of the calls, where they are constrained. ``thinking_tokens``: the budget of
    the reasoning before them, 0 where it has none of its own.
    """

    settled: Settled
    stop_token_ids: tuple[int, ...] = ()
    grammar: str | None = None
    thinking_tokens: int = 0


def load_renderer(settings: FillSettings, folder: Path) -> Renderer:
    """The renderer of a run's prompts, with the tokenizer of the model's folder. Raises
    TokenizerError.
    """
    return Renderer.load(
        settings_from({**vars(settings), "tokenizer": str(folder)}, RenderSettings)
    )


def settle_calls(
    renderer: Renderer,
    folder: Path,
    settings: FillSettings,
    tools: ToolSchema,
    make_grammar: bool = True,
) -> CallReading:
    """Settle how completions are read, the budget of reasoning, and the grammar if calls are
    constrained.

    Args:
        renderer: The run's tokenizer and template.
        folder: The model's, with generation_config.json.
        settings: The run's settings.
        tools: The tools that the model is shown.
        make_grammar: Make the grammar, which imports xgrammar and with it torch: seconds. Without
            it is only looked whether the format has one.

    Raises:
        UnsettledFormat: No format, or more than one, reads the template's calls back; or calls
            cannot be constrained to the one that does.
        TokenizerError: generation_config.json cannot be read.
        ToolSchemaError: The tools' schemas cannot be made into a grammar.
    """
    name = None if settings.call_format == AUTO else settings.call_format
    settled = settle(renderer, turn_ends(renderer, folder), name)
    control = renderer.tokenizer.control
    own = call_format(settled.call_format).all_markers
    further = settled.end_tokens - engine_ends(renderer, folder) - frozenset(own)
    stops = tuple(sorted(control[token].id for token in further if token in control))
    thinking = thinking_tokens(
        settings.max_thinking_tokens, renderer, settled, constrained=settings.constrain_tool_calls
    )
    if not settings.constrain_tool_calls:
        return CallReading(settled, stops, thinking_tokens=thinking)
    unable = (
        f"constrain_tool_calls: the chat template {renderer.chat_template_name} opens reasoning in"
        " the prompt, which a call would have to close first"
        if settled.thinking_open
        else f"constrain_tool_calls: the call format {settled.call_format} has no grammar"
    )
    notation = call_format(settled.call_format)
    grammar = None
    if make_grammar and not settled.thinking_open:
        grammar = notation.grammar(tools, structural_tokens(renderer.tokenizer))
    possible = grammar is not None if make_grammar else notation.has_grammar
    if settled.thinking_open or not possible:
        raise UnsettledFormat(f"{unable}. Fix: constrain_tool_calls=false, or another template")
    return CallReading(settled, stops, grammar, thinking)


def calls_grammar(text: TokenText, settled: Settled, tools: ToolSchema) -> str:
    """The grammar that constrained calls of some tools are held to.

    Args:
        text: Knows the model's control tokens.
        settled: The call format, one that has a grammar.
        tools: The tools of a skeleton.

    Raises:
        ToolSchemaError: The tools' schemas cannot be made into a grammar.
    """
    notation = call_format(settled.call_format)
    grammar = notation.grammar(tools, structural_tokens(text.tokenizer))
    if grammar is None:
        raise ToolSchemaError(f"{tools.path}: {settled.call_format} has no grammar of its calls")
    return grammar


class TokenText(Protocol):
    """The part of ``cbdata.render.Renderer`` that makes text of tokens."""

    @property
    def tokenizer(self) -> PlainTokenizer:
        """Knows the control tokens."""
        ...

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Token ids to text."""
        ...


class CompletionReader:
    """What the judge is given of a completion: its text with the control tokens in it, and how to
    read it.
    """

    def __init__(self, text: TokenText, settled: Settled, accept_calls_in_prose: bool) -> None:
        """Read by the settled format.

        Args:
            text: Knows the model's tokens and turns ids into text.
            settled: The call format of the chat template, and the tokens that end a turn.
            accept_calls_in_prose: As in ``ReadingRules``.
        """
        self._text = text
        self._format = call_format(settled.call_format)
        self._rules = ReadingRules(
            settled.call_format,
            settled.end_tokens,
            accept_calls_in_prose=accept_calls_in_prose,
        )

    def completion(self, ids: Sequence[int]) -> Completion:
        """The completion of the ids that the engine returned; its text is that of ``decode``."""
        return Completion.from_ids(ids, self._text.tokenizer, self._text.decode)

    def rules(self, prompt_ids: Sequence[int]) -> ReadingRules:
        """How to read a completion of this prompt, which may have left reasoning open.

        A template may open reasoning in some prompts alone, so each prompt's own end decides. A
        marker there counts as it does in completions: as a control token where it is one, for the
        end may be attack text where a template puts nothing behind it.
        """
        tail = self.completion(prompt_ids[-TAIL_TOKENS:])
        view, _ = tail.view(self._format, frozenset())
        end = view.shape.rstrip()
        opened = any(
            end.endswith(MARK + (notation.opening + notation.label).rstrip()[1:])
            for notation in self._format.reasoning
        )
        return replace(self._rules, thinking_open=opened)
