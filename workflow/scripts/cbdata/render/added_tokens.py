"""The added tokens of a tokenizer, from every file that names them, and which of them are text.

``tokenizer.json`` is not the whole of it: transformers also adds the tokens of
``tokenizer_config.json`` (``added_tokens_decoder``, the named and extra special tokens), or, where
there is no ``added_tokens_decoder``, those of ``special_tokens_map.json`` and
``added_tokens.json``. The rules and ids here are those of ``PreTrainedTokenizerFast`` in
transformers 5; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from cbdata.render.settings import TokenizerError

SPECIAL_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
EXTRA = "extra_special_tokens"
OLD_EXTRA = "additional_special_tokens"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
OLD_ADDED_TOKENS = "added_tokens.json"
FLAGS = ("single_word", "lstrip", "rstrip")
SPACE = "\u2581"
"""What SentencePiece vocabularies write for a space."""

# Elements of the HTML standard, deprecated ones too
HTML_TAG = re.compile(
    r"</?(?:"
    r"a|abbr|address|article|aside|audio|b|base|bdi|bdo|big|blockquote|body|br|button|"
    r"canvas|caption|center|cite|code|col|colgroup|data|datalist|dd|del|details|dfn|dialog|"
    r"div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|frame|frameset|h1|h2|"
    r"h3|h4|h5|h6|head|header|hgroup|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|"
    r"link|main|map|mark|menu|meta|meter|nav|noscript|object|ol|optgroup|option|output|p|"
    r"param|picture|pre|progress|q|rp|rt|ruby|s|samp|script|search|section|select|slot|"
    r"small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|"
    r"textarea|tfoot|th|thead|time|title|tr|track|tt|u|ul|var|video|wbr"
    r")\s*/?>"
)


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text before the vocabulary is asked.

    Attributes:
        id: Its id.
        content: Its text.
        special: Whether the tokenizer calls it special.
        single_word: Found only where no letter stands beside it.
        lstrip: Takes in the white space before it.
        rstrip: Takes in the white space behind it.
        normalized: Found in the normalised text.
    """

    id: int
    content: str
    special: bool
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it stands for text and not for structure: white space, a plain word, or an HTML
        tag, and not special. What looks like a model's markup is structure though no file calls it
        special (``<tool_call>``, ``<\uff5cUser\uff5c>``).
        """
        if self.special:
            return False
        words = self.content.replace(SPACE, " ").split()
        return all(map(str.isalnum, words)) or HTML_TAG.fullmatch(self.content) is not None


def read_json_object(file: Path) -> dict[str, Any]:
    """A JSON object of a tokenizer's folder. Raises TokenizerError."""
    try:
        found = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise TokenizerError(
            f"{file}: expected JSON, {error}. Hint: copy it again from where tokenizer.json came"
        ) from error
    if not isinstance(found, dict):
        raise TokenizerError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found


class TokenFiles:
    """What the files beside tokenizer.json say about added tokens."""

    def __init__(self, folder: Path) -> None:
        """Read the files that are there. Raises TokenizerError."""
        self.config_file = folder / "tokenizer_config.json"
        if not self.config_file.is_file():
            raise TokenizerError(
                f"{self.config_file} is missing: it names the special tokens. Hint: copy it from"
                " where tokenizer.json came"
            )
        self.config = read_json_object(self.config_file)
        self.declared: list[AddedToken] = []
        named = dict(self.config)
        decoder = self.config.get("added_tokens_decoder")
        if isinstance(decoder, dict):
            self.declared = [
                _token(decoder[number], int(number)) for number in sorted(decoder, key=int)
            ]
        else:
            extra = folder / SPECIAL_TOKENS_MAP
            if extra.is_file():
                named |= read_json_object(extra)
        self._named = {key: named[key] for key in named if _names_a_token(key, named[key])}
        listed = named.get(EXTRA) or named.get(OLD_EXTRA) or []
        if isinstance(listed, dict):
            self._named |= {key: listed[key] for key in listed if listed[key]}
            listed = []
        self._listed = list(listed)
        if not isinstance(decoder, dict) and (folder / OLD_ADDED_TOKENS).is_file():
            special = {*self.special.values(), *map(_content, self._listed)}
            self.declared = [
                AddedToken(number, content, content in special, normalized=content not in special)
                for content, number in sorted(
                    read_json_object(folder / OLD_ADDED_TOKENS).items(), key=lambda item: item[1]
                )
            ]

    @property
    def special(self) -> dict[str, str]:
        """The named special tokens, as ``special_tokens_map`` of transformers has them."""
        return {key: _content(value) for key, value in self._named.items()}

    def complete(
        self, own: Sequence[AddedToken], known: Callable[[str], int | None], size: int
    ) -> list[AddedToken]:
        """All added tokens, with the ids that transformers gives them.

        Args:
            own: Those of tokenizer.json.
            known: The id of a text in the vocabulary, or None.
            size: The number of entries of the vocabulary.

        Returns:
            The tokens of tokenizer.json, changed where another file has other flags, and behind
            them the ones that it lacks.
        """
        found = {token.content: token for token in own}
        for token in self._to_add(found):
            if token.content in found:
                number: int | None = found[token.content].id
            else:
                number = known(token.content)
            if number is None:
                number = max([size, *(each.id + 1 for each in found.values())])
            found[token.content] = replace(token, id=number)
        return list(found.values())

    def _to_add(self, own: Mapping[str, AddedToken]) -> Iterator[AddedToken]:
        names = set(self.special.values())
        seen = set(own)
        same = {replace(token, id=0) for token in own.values()}
        for token in self.declared:
            seen.add(token.content)
            if token.content and replace(token, id=0) not in same:
                yield replace(token, special=token.special or token.content in names)
        for value in [*self._named_in_order(), *self._listed]:
            content = _content(value)
            if content and content not in seen:
                seen.add(content)
                token = (
                    _token(value, 0) if isinstance(value, dict) else AddedToken(0, content, True)
                )
                yield replace(token, special=True)

    def _named_in_order(self) -> Iterable[Any]:
        order = [*(name for name in SPECIAL_NAMES if name in self._named)]
        return [self._named[key] for key in [*order, *(k for k in self._named if k not in order)]]


def _names_a_token(key: str, value: Any) -> bool:
    """Whether a key of a configuration names a special token (``bos_token``, ``image_token``)."""
    if key in SPECIAL_NAMES:
        if value is not None and not isinstance(value, (str, dict)):
            raise TokenizerError(
                f"tokenizer_config.json: {key}: expected a string, got {type(value).__name__}"
            )
        return value is not None
    marked = isinstance(value, dict) and value.get("__type") == "AddedToken"
    return key.endswith("_token") and (isinstance(value, str) or marked)


def _content(value: Any) -> str:
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str):
        raise TokenizerError(
            f"tokenizer_config.json: expected a token's text, got {type(content).__name__}"
        )
    return content


def _token(value: Mapping[str, Any], number: int) -> AddedToken:
    """A token as a file describes it; flags that it leaves out have the defaults of the tokenizers
    library.
    """
    special = bool(value.get("special", False))
    return AddedToken(
        number,
        _content(value),
        special,
        **{flag: bool(value.get(flag, False)) for flag in FLAGS},
        normalized=bool(value.get("normalized", not special)),
    )
