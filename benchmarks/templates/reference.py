"""What transformers makes of a conversation: the text, the ids, which token holds which character.

Nothing of the project is used here. The clock of chat templates stands still at the date that the
project is given.
"""

from __future__ import annotations

import json
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from conversations import Conversation
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils
from transformers.utils import logging as transformers_logging

DATE = "26 Jul 2024"
REFUSALS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)


class Refused(ValueError):
    """The template raised an error about the conversation."""


@dataclass(frozen=True)
class Form:
    """What a template wants: contents as lists of blocks, arguments as JSON text, and reasoning in
    one of ``REASONINGS``: under a key of that name (the first one stands for both usual keys), as a
    block of the content, or as a block of a mapping that every answer's content is.
    """

    blocks: bool = False
    string_arguments: bool = False
    reasoning: str = "reasoning_content"


REASONINGS = ("reasoning_content", "reasoning", "thought", "block", "nested block", "mapping")
FORMS = tuple(Form(blocks, strings) for blocks in (False, True) for strings in (False, True))


class _Clock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> _Clock:
        moment = datetime.strptime(DATE, "%d %b %Y")
        return cls(moment.year, moment.month, moment.day)


def stop_the_clock() -> None:
    """Give templates the project's date, and silence the library's warnings."""
    chat_template_utils.datetime = _Clock
    transformers_logging.set_verbosity_error()
    logging.getLogger("transformers").setLevel(logging.ERROR)


class Tokens:
    """A text's token ids, and the tokens that hold its characters.

    A token holds every character that it has a byte of; characters and tokens are counted from 0.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        self.text = text
        self.ids: list[int] = encoded["input_ids"]
        self.starts = [start for start, _ in encoded["offset_mapping"]]
        self.ends = [end for _, end in encoded["offset_mapping"]]

    def first(self, character: int) -> int:
        """The first token that ends behind a character's start."""
        return bisect_right(self.ends, character)

    def begins(self, character: int) -> int:
        """The first token that holds nothing before a character: one that two things share
        belongs to the one before.
        """
        token = self.first(character)
        return token + (self.char(token) < character)

    def last(self, character: int) -> int:
        """One past the last token that starts before a character's start."""
        return bisect_left(self.starts, character)

    def char(self, token: int) -> int:
        """The character at which a token starts; the text's length behind the last one."""
        return self.starts[token] if token < len(self.starts) else len(self.text)

    def spelled(self, start: int, end: int) -> str:
        """The characters of tokens ``[start, end)``."""
        end = min(end, len(self.ids))
        return self.text[self.starts[start] : self.ends[end - 1]] if start < end else ""


class Reference:
    """One tokenizer folder with its chat template, as transformers loads it."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.tokenizer.clean_up_tokenization_spaces = False
        self.source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        self.form = Form()
        self.has_generation_tags = "endgeneration" in self.source
        self.control = {
            token.content
            for token in self.tokenizer.added_tokens_decoder.values()
            if token.content.strip() and (token.special or token.content in self.source)
        }

    def text(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        *,
        asking: bool = False,
    ) -> str:
        """The rendered text of messages in the form of trace_v1.

        Args:
            messages: The messages.
            tools: The tools; none if empty.
            asking: Whether the text ends with what asks the model to answer.

        Raises:
            Refused: The template raised an error.
        """
        try:
            return self.tokenizer.apply_chat_template(
                as_openai(messages, self.form),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=asking,
                date_string=DATE,
            )
        except REFUSALS as error:
            raise Refused(f"{type(error).__name__}: {str(error)[:120]}") from error

    def tokens(self, text: str) -> Tokens:
        """The tokens of a rendered text."""
        return Tokens(self.tokenizer, text)

    def generated(self, conversation: Conversation, *, tools: bool) -> list[int] | None:
        """The mask of the template's own ``{% generation %}`` tags, one number a token; None where
        it has none.
        """
        if not self.has_generation_tags:
            return None
        try:
            out = self.tokenizer.apply_chat_template(
                as_openai(conversation.messages, self.form),
                tools=list(conversation.tools) if tools and conversation.tools else None,
                date_string=DATE,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except REFUSALS:
            return None
        return out["assistant_masks"]


def as_openai(messages: Sequence[Mapping[str, Any]], form: Form) -> list[dict[str, Any]]:
    """Messages of trace_v1 as chat templates are given them.

    Args:
        messages: The messages.
        form: In which form the template wants them.
    """
    out = []
    mapping = form.reasoning == "mapping" and any(each.get("thinking") for each in messages)
    for message in messages:
        content: Any = message["content"]
        if form.blocks:
            content = [{"type": "text", "text": content}] if content else []
        item = {"role": message["role"], "content": content}
        for key in ("name", "tool_call_id"):
            if message.get(key):
                item[key] = message[key]
        thinking = message.get("thinking")
        if thinking and form.reasoning.endswith("block"):
            nested = [{"type": "text", "text": thinking}]
            shown = nested if form.reasoning == "nested block" else thinking
            said = [{"type": "text", "text": message["content"]}] if message["content"] else []
            item["content"] = [{"type": "thinking", "thinking": shown}, *said]
        elif thinking and not mapping:
            item[form.reasoning] = thinking
            if form.reasoning == "reasoning_content":
                item["thinking"] = thinking
        if message.get("tool_calls"):
            item["tool_calls"] = [
                {
                    "type": "function",
                    "id": call["call_id"],
                    "function": {
                        "name": call["function"]["name"],
                        "arguments": json.dumps(arguments, ensure_ascii=False)
                        if form.string_arguments or mapping
                        else arguments,
                    },
                }
                for call in message["tool_calls"]
                for arguments in [call["function"]["arguments"]]
            ]
        out.append(_as_mapping(item, thinking) if mapping and item["role"] == "assistant" else item)
    return out


def _as_mapping(item: dict[str, Any], thinking: str | None) -> dict[str, Any]:
    """A message whose reasoning, content and calls are blocks of a mapping (Apertus)."""
    blocks = [{"type": "thoughts", "text": thinking}] if thinking else []
    blocks += [{"type": "response", "text": item["content"]}] if item["content"] else []
    calls = [call["function"] for call in item.get("tool_calls") or ()]
    blocks += [{"type": "tool_calls", "calls": calls}] if calls else []
    return {"role": item["role"], "content": {"blocks": blocks}}
