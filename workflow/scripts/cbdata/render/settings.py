"""What a renderer is made from, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbdata.records.words import (
    COMPLETION_TOKENS,
    CONTROL_TOKEN_MODES,
    EARLIER_THINKING,
    OVERLENGTHS,
    ROW_KINDS,
    CompletionTokens,
    ControlTokenMode,
    EarlierThinking,
    Overlength,
    RowKind,
)
from cbdata.render.fits import FITS, REPORT

PROJECT_LLAMA_TEMPLATE = "llama31_tools"
AUTO = "auto"
CHUNK_TRACES = 64
RESERVED = frozenset(
    ("messages", "tools", "documents", "add_generation_prompt", "continue_final_message")
) | {"date_string"}
"""What chat_template_kwargs must not name."""


class TokenizerError(ValueError):
    """A tokenizer or chat template cannot be used at all: says what was looked for, where, and how
    to fix it.
    """


class TokenizerMissing(TokenizerError):
    """There is no tokenizer at the place that the settings name."""


@dataclass(frozen=True)
class RenderSettings:
    """How conversations become token ids; the same settings give the same ids in the fill stage and
    in ETL_B.

    Fields are keys of the configuration, which has their defaults.

    Attributes:
        tokenizer: A directory with tokenizer.json and tokenizer_config.json, or a hub id that is
            in ``cache_dir``.
        chat_template: A name in configs/chat_templates, or a path; None takes the tokenizer's own,
            ``auto`` too unless that is a stock template that loses data and the project has one
            for it (``cbdata.render.stock_templates``).
        force_llama: Use the project's Llama 3.1 template whatever the tokenizer's own one is.
        control_tokens: Control-token text inside messages becomes plain text (``escape``), or the
            conversation is rejected (``reject``).
        template_date: Today's date for templates that print one, as in "26 Jul 2024".
        chat_template_kwargs: What the template is given beside messages and tools, such as
            ``enable_thinking``.
        template_fit: Names of changes that make a conversation fit the template
            (``cbdata.render.fits``), or ``report``: none is made, and the reject says which would
            help.
        cache_dir: Where hub ids are looked up (Hugging Face's cache layout); None means the user's
            own cache.
        revision: Branch, tag or commit of a hub id; None means ``main``.
    """

    tokenizer: str
    chat_template: str | None
    force_llama: bool
    control_tokens: ControlTokenMode
    template_date: str
    chat_template_kwargs: Mapping[str, Any]
    template_fit: str | Sequence[str]
    cache_dir: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        """Check what types do not. Raises TokenizerError."""
        if self.control_tokens not in CONTROL_TOKEN_MODES:
            raise TokenizerError(
                f"control_tokens: expected one of {', '.join(CONTROL_TOKEN_MODES)}, got"
                f" {self.control_tokens!r}"
            )
        unknown = [name for name in self.fits if name not in FITS]
        if unknown or (isinstance(self.template_fit, str) and self.template_fit != REPORT):
            raise TokenizerError(
                f"template_fit: expected {REPORT} or a list out of {', '.join(FITS)}, got"
                f" {self.template_fit!r}"
            )
        taken = sorted(RESERVED & self.chat_template_kwargs.keys())
        if taken:
            raise TokenizerError(
                f"chat_template_kwargs: {', '.join(taken)} is given by the workflow. Hint: remove"
                " it; the date is the config key template_date"
            )
        if self.force_llama and self.chat_template not in (None, AUTO, PROJECT_LLAMA_TEMPLATE):
            raise TokenizerError(
                f"force_llama and chat_template={self.chat_template!r} contradict each other. "
                "Hint: force_llama already sets the template; remove one of them"
            )

    @property
    def fits(self) -> tuple[str, ...]:
        """The names of the fits to make; none for ``report``."""
        return () if isinstance(self.template_fit, str) else tuple(self.template_fit)


_ALLOWED: dict[str, tuple[str, ...]] = {
    "overlength": OVERLENGTHS,
    "earlier_thinking": EARLIER_THINKING,
    "rows": ROW_KINDS,
    "completion_tokens": COMPLETION_TOKENS,
}


@dataclass(frozen=True)
class RowSettings:
    """What a row of a render file depends on beside the renderer.

    Attributes:
        max_length: The longest row in tokens.
        overlength: What becomes of a longer one: ``truncate``, ``reject`` or ``window`` (see
            ``cbdata.render.overlength``).
        include_text: Whether the row holds the rendered text.
        earlier_thinking: Reasoning of turns before the last one that the template leaves out is
            dropped and counted (``as_template``), or the trace is rejected (``reject``).
        rows: Whether a trace is one row (``conversation``), or one for each of its assistant turns
            (``turn``).
    """

    max_length: int
    overlength: Overlength
    include_text: bool
    earlier_thinking: EarlierThinking
    rows: RowKind

    def __post_init__(self) -> None:
        """Check what types do not. Raises ValueError."""
        for key, allowed in _ALLOWED.items():
            value = getattr(self, key, allowed[0])
            if value not in allowed:
                raise ValueError(f"{key}: expected one of {', '.join(allowed)}, got {value!r}")


@dataclass(frozen=True)
class RenderStageSettings(RowSettings):
    """What the stage does with a trace file beside making rows.

    Attributes:
        completion_tokens: Whether the last turn of a trace that was completed here is the ids that
            the model wrote (``generated``) or the template's print of it (``template``).
        allow_skeleton: Render traces without a completion too, instead of rejecting them.
        tools_included: Whether renders of traces that were not completed here show the trace's
            tools; None: where it has or names any, and the row is not too long with them.
            Completed ones always show them.
        tool_schema_file: The configured tool schema, for traces that name it.
        class_caps: The most traces by class; the others are not selected.
        tool_schema_dirs: Folders of ``{version}.json`` files, for traces that name another one.
        chunk_traces: Traces that are tokenised together at most; the rows do not depend on it.
        reject_limit: The largest part of the rows, 0 to 1, that may be rejected before the
            stage fails as a whole.
        may_be_empty: Whether a trace file without a trace is no error: where an earlier stage made
            it, that one has said why.
    """

    completion_tokens: CompletionTokens
    allow_skeleton: bool
    tools_included: bool | None
    tool_schema_file: str | Path | None = None
    tool_schema_dirs: Sequence[str | Path] = ()
    class_caps: Mapping[str, int] = field(default_factory=dict)
    chunk_traces: int = CHUNK_TRACES
    reject_limit: float = 1.0
    may_be_empty: bool = True


@dataclass(frozen=True)
class Prompt:
    """What a model is given: the text, its token ids (feed these, not the text) and their
    SHA-256.
    """

    text: str
    ids: list[int]
    sha256: str
