"""Chat templates: which one is used, compiled with marks, and what it turns out to do when it is
tried.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from cbdata.paths import CHAT_TEMPLATES
from cbdata.rejects import Reject
from cbdata.render.chat import TemplateFacts, TemplateInput
from cbdata.render.environment import environment
from cbdata.render.instrument import Marks, compile_marked
from cbdata.render.probes import probe_facts
from cbdata.render.runs import collect
from cbdata.render.settings import (
    AUTO,
    PROJECT_LLAMA_TEMPLATE,
    RenderSettings,
    TokenizerError,
)
from cbdata.render.stock_templates import one_of, stand_in
from cbdata.render.thinking import may_reason
from cbdata.render.tokenizer import OwnTemplate
from cbdata.render.traced_text import HIDDEN, Part

PINS = "pins.json"
LLAMA31_TOKENS = (
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
)
# What a template does to its data can fail in any of these ways; each is a refusal of one
# conversation.
TEMPLATE_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)


def template_source(
    settings: RenderSettings, own: OwnTemplate, control: Container[str] | None = None
) -> tuple[str, str]:
    """The name and the text of the template that the settings ask for.

    The name is ``tokenizer``, a name in configs/chat_templates or a file's stem. Templates of the
    project must have the SHA-256 that pins.json gives.

    Args:
        settings: What is asked for.
        own: What the tokenizer brings. Of several templates, ``auto`` takes a known stock one's
            stand-in, and none is taken as it is.
        control: The tokenizer's control tokens; None where it is not loaded.

    Raises:
        TokenizerError: There is no such template, or it was changed.
    """
    chosen = PROJECT_LLAMA_TEMPLATE if settings.force_llama else settings.chat_template
    if chosen == AUTO:
        stock = stand_in(one_of(own), control)
        chosen = stock.project if stock else None
    if chosen is None:
        if isinstance(own, Mapping):
            raise TokenizerError(
                f"tokenizer {settings.tokenizer!r} has several chat templates {[*own]}. Hint: set"
                " chat_template to a name in configs/chat_templates, or save the one you mean as a"
                " file and set chat_template to its path"
            )
        if not own:
            raise TokenizerError(
                f"tokenizer {settings.tokenizer!r} has no chat template. Hint: set chat_template to"
                " a name in configs/chat_templates or to a file"
            )
        return "tokenizer", own
    named = CHAT_TEMPLATES / f"{chosen}.jinja"
    if "/" not in chosen and named.is_file():
        source = named.read_text(encoding="utf-8")
        check_pin(chosen, source)
        return chosen, source
    path = Path(chosen).expanduser()
    if not path.is_file():
        names = sorted(file.stem for file in CHAT_TEMPLATES.glob("*.jinja"))
        raise TokenizerError(
            f"chat_template {chosen!r}: neither a file nor one of {names}. Hint: auto takes the"
            " tokenizer's own template"
        )
    return path.stem, path.read_text(encoding="utf-8")


def template_sha256(source: str) -> str:
    """SHA-256 of a template's text."""
    return hashlib.sha256(source.encode("utf-8")).hexdigest()


def check_pin(name: str, source: str) -> None:
    """Raise TokenizerError unless a template of the project is the one that was reviewed."""
    pins = json.loads((CHAT_TEMPLATES / PINS).read_text())
    if pins.get(name) != template_sha256(source):
        raise TokenizerError(
            f"{CHAT_TEMPLATES / (name + '.jinja')}: its SHA-256 is {template_sha256(source)},"
            f" {PINS} says {pins.get(name)}. Hint: restore the file, or review the change, give it"
            f" a new name and add it to {PINS}"
        )


def check_llama_tokens(control: Container[str], tokenizer_id: str) -> None:
    """Raise TokenizerError unless a tokenizer has the control tokens that ``force_llama`` needs."""
    missing = [token for token in LLAMA31_TOKENS if token not in control]
    if missing:
        raise TokenizerError(
            f"force_llama: tokenizer {tokenizer_id} has no {', '.join(missing)}. Hint: use a Llama"
            " 3.1 tokenizer, or switch force_llama off"
        )


class ChatTemplate:
    """A compiled template that renders conversations into text with known origins."""

    def __init__(
        self,
        source: str,
        name: str,
        special: Mapping[str, str],
        date: str,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Compile a template and find out by trying what it prints.

        Args:
            source: The template's text.
            name: What renders and messages call it.
            special: The named special tokens that it may print (``bos_token``, ...).
            date: Today's date, as in "26 Jul 2024".
            kwargs: What it is given beside messages and tools (``enable_thinking``, ...).

        Raises:
            TokenizerError: The template is not Jinja, or the date has another form.
        """
        self.name, self.source, self.sha256 = name, source, template_sha256(source)
        self._marks = Marks()
        try:
            self._template = compile_marked(environment(date, self._marks), source)
        except jinja2.TemplateSyntaxError as error:
            raise TokenizerError(
                f"chat template {name}: line {error.lineno}: {error.message}. Hint: chat templates"
                " are Jinja with transformers' additions"
            ) from error
        except ValueError as error:
            raise TokenizerError(
                f"template_date {date!r}: expected a date as in '26 Jul 2024' ({error})"
            ) from error
        self._given = {**special, "documents": None, "date_string": date, **(kwargs or {})}
        self.reasons = may_reason(source)
        self.facts = TemplateFacts()
        self.facts = probe_facts(self, source)

    @property
    def tools_known(self) -> bool:
        """Whether the template prints tools itself."""
        return self.facts.tools_known

    @property
    def calls_known(self) -> bool:
        """Whether the template prints calls itself."""
        return self.facts.calls_known

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        generation_prompt: bool = False,
        hidden: Mapping[str, str] | None = None,
    ) -> tuple[str, list[Part]]:
        """Render a conversation into text.

        Args:
            messages: The messages of a trace.
            tools: The tools to show, or None.
            generation_prompt: Whether the text ends with what asks the model to answer.
            hidden: What each hidden character of a control token stands for.

        Returns:
            The text, and the stretches of it whose origin is known.

        Raises:
            Reject: ``template_refused`` or ``template_error``.
        """
        chat = TemplateInput(messages, tools, self.facts, self._marks, hidden)
        return self._run(chat, generation_prompt)

    def render_null_content(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The text where every empty content is null, as raw transcripts have it: for the template
        doctor alone.
        """
        chat = TemplateInput(messages, None, self.facts, self._marks)
        for message in chat.messages:
            message["content"] = message["content"] or None
        return self._run(chat, False)[0]

    def _run(self, chat: TemplateInput, generation_prompt: bool) -> tuple[str, list[Part]]:
        values = {
            **self._given,
            "messages": chat.messages,
            "tools": chat.tools,
            "add_generation_prompt": generation_prompt,
        }
        before = HIDDEN.set(self._marks.hidden)
        try:
            return collect(self._template.root_render_func(self._template.new_context(values)))
        except TEMPLATE_FAILURES as error:
            if type(error) is jinja2.TemplateError:
                raise Reject("template_refused", f"{self.name}: {error}") from error
            raise Reject(
                "template_error", f"{self.name}: {type(error).__name__}: {error}"
            ) from error
        finally:
            HIDDEN.reset(before)
