"""What a renderer is made from, and what can go wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ESCAPE, REJECT = "escape", "reject"
PROJECT_LLAMA_TEMPLATE = "llama31_tools"
DEFAULT_DATE = "26 Jul 2024"
TEMPLATE_DIR = Path(__file__).resolve().parents[4] / "configs" / "chat_templates"


class TokenizerError(ValueError):
    """A tokenizer or chat template cannot be used at all: says what was looked for, where, and how
    to fix it.
    """


@dataclass(frozen=True)
class RenderSettings:
    """How conversations become token ids; the same settings give the same ids in the fill stage and
    in ETL_B.

    - ``tokenizer``: a directory with tokenizer.json and tokenizer_config.json, or a hub id that is
      in ``cache_dir``
    - ``chat_template``: None (the tokenizer's own), a name in configs/chat_templates, or a path
    - ``force_llama``: use the project's Llama 3.1 template whatever the tokenizer's own one is
    - ``control_tokens``: what is done with control-token text inside messages, ``escape`` (plain
      text) or ``reject``
    - ``template_date``: today's date for templates that print one, as in "26 Jul 2024"
    - ``cache_dir``: where hub ids are looked up (Hugging Face's cache layout); the user's own cache
      if None
    - ``revision``: branch, tag or commit of a hub id; ``main`` if None
    """

    tokenizer: str
    chat_template: str | None = None
    force_llama: bool = False
    control_tokens: str = ESCAPE
    template_date: str = DEFAULT_DATE
    cache_dir: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if self.control_tokens not in (ESCAPE, REJECT):
            raise TokenizerError(
                f"control_tokens: expected {ESCAPE!r} or {REJECT!r}, got {self.control_tokens!r}"
            )
        if self.force_llama and self.chat_template not in (None, PROJECT_LLAMA_TEMPLATE):
            raise TokenizerError(
                f"force_llama and chat_template={self.chat_template!r} contradict each other. "
                "Hint: force_llama already sets the template; remove one of them"
            )


@dataclass(frozen=True)
class Prompt:
    """What a model is given: the text, its token ids (feed these, not the text) and their
    SHA-256.
    """

    text: str
    ids: list[int]
    sha256: str
