"""A tokenizer without its control tokens: plain text can only ever become plain tokens.

``tokenizer.json`` is loaded without its added tokens. The renderer splits the rendered text at the
control tokens that the template printed and puts their ids in itself; what is between them, attack
text included, goes through this tokenizer, which does not know them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

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


@dataclass(frozen=True)
class ControlToken:
    """An added token that stands for structure, not for text."""

    id: int
    text: str
    special: bool


@dataclass(frozen=True)
class PlainTokenizer:
    """What the renderer needs of a tokenizer.

    - ``model``: encodes text without any control token
    - ``control``: text of a control token -> the token
    - ``pattern``: one group that matches any control token, the longest where several start at one
      place
    - ``text_tokens``: added tokens that are white space and so belong to text, with their ids;
      ``text_pattern`` finds them
    - ``byte_level``: every character of a token's name stands for one byte, so token lengths in
      bytes are known without offsets
    - ``normalises``: the text may be changed (NFC) before it is split into tokens
    - ``special``: the named special tokens that a chat template may print (``bos_token``, ...)
    - ``chat_template``: the tokenizer's own template, or None
    - ``sha256``: of tokenizer.json
    """

    model: Tokenizer
    control: dict[str, ControlToken]
    pattern: re.Pattern[str]
    text_tokens: dict[str, int]
    text_pattern: re.Pattern[str] | None
    byte_level: bool
    normalises: bool
    special: dict[str, str]
    chat_template: str | None
    sha256: str


def load_tokenizer(folder: Path) -> PlainTokenizer:
    """Read tokenizer.json, tokenizer_config.json and chat_template.jinja of a directory. Raises
    TokenizerError.
    """
    file = folder / "tokenizer.json"
    data = file.read_bytes()
    added, start, end = _added_tokens(data, file)
    control = {
        token["content"]: ControlToken(token["id"], token["content"], token["special"])
        for token in added
        if _is_control(token)
    }
    white = [token for token in added if not _is_control(token)]
    _check_supported(added, data[end : end + 20_000].decode("utf-8", "ignore"), file)
    model = Tokenizer.from_buffer(b"".join((data[:start], b"[]", data[end:])))
    model.no_truncation()
    model.no_padding()
    settings = _read_config(folder / "tokenizer_config.json")
    return PlainTokenizer(
        model=model,
        control=control,
        pattern=control_pattern([token for token in added if _is_control(token)]),
        text_tokens={token["content"]: token["id"] for token in white},
        text_pattern=control_pattern(white) if white else None,
        byte_level=type(model.decoder).__name__ == "ByteLevel",
        normalises=model.normalizer is not None,
        special=_special_names(settings, folder),
        chat_template=_template_of(folder, settings),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _added_tokens(data: bytes, file: Path) -> tuple[list[dict[str, Any]], int, int]:
    """The added tokens and where their list stands in the file: cut out as bytes, since parsing all
    10 MB would take longer than the rest.
    """
    key = data.find(b'"added_tokens"')
    model = data.find(b'"model"')
    if key < 0 or (0 <= model < key):
        raise TokenizerError(
            f"{file}: expected the key added_tokens before model, as the tokenizers library writes"
            " it. Hint: load and save it once with tokenizers"
        )
    start = data.index(b"[", key)
    text = data[start : model if model > 0 else len(data)].decode("utf-8")
    added, length = json.JSONDecoder().raw_decode(text)
    return added, start, start + len(text[:length].encode("utf-8"))


def _is_control(token: dict[str, Any]) -> bool:
    """Special tokens and markup; not the runs of white space that some vocabularies add."""
    return bool(token["special"]) or bool(token["content"].strip())


def _check_supported(added: list[dict[str, Any]], tail: str, file: Path) -> None:
    """Refuse tokenizers whose tokens depend on more than the text between two control tokens."""
    if '"prepend_scheme":"first"' in "".join(tail.split()):
        raise TokenizerError(
            f"{file}: the pre-tokenizer puts a space before the first word only (Metaspace,"
            " prepend_scheme first), which is not supported"
        )
    swallowing = [token["content"] for token in added if token["lstrip"] or token["rstrip"]]
    if swallowing and not all(map(_is_control, added)):
        raise TokenizerError(
            f"{file}: added tokens of white space beside ones that swallow it are not supported:"
            f" {swallowing[:5]}"
        )
    if '"normalizer":null' not in "".join(tail.split()):
        late = [token["content"] for token in added if token["normalized"] and _is_control(token)]
        if late:
            raise TokenizerError(
                f"{file}: control tokens found only after normalisation are not supported:"
                f" {late[:5]}"
            )


@functools.cache
def _word() -> str:
    """A character class of what the tokenizers library takes for part of a word: Unicode's
    definition, which has combining marks too.
    """
    marks = "".join(
        re.escape(character)
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character)[0] == "M"
    )
    return rf"[\w\u200c\u200d{marks}]"


def control_pattern(added: list[dict[str, Any]]) -> re.Pattern[str]:
    """Added tokens as one group, with the white space that lstrip and rstrip tokens swallow.

    The tokenizers library takes the leftmost, then longest match; an alternation sorted by length
    does the same.
    """
    found = []
    for token in sorted(added, key=lambda token: -len(token["content"])):
        body = re.escape(token["content"])
        if token["single_word"]:
            body = f"(?<!{_word()}){body}(?!{_word()})"
        found.append(
            (r"\s*" if token["lstrip"] else "") + body + (r"\s*" if token["rstrip"] else "")
        )
    if not found:
        return re.compile(r"((?!))")
    first = (
        found[0][0]
        if all(item[0] == found[0][0] and item[0] not in "\\(" for item in found)
        else ""
    )
    return re.compile("(" + first + "(?:" + "|".join(item[len(first) :] for item in found) + "))")


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise TokenizerError(
            f"{file} is missing: it names the special tokens. Hint: copy it from where"
            " tokenizer.json came"
        )
    try:
        settings: dict[str, Any] = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise TokenizerError(
            f"{file}: expected JSON, {error}. Hint: copy it again from where tokenizer.json came"
        ) from error
    return settings


def _special_names(settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """The special tokens by name, as ``special_tokens_map`` of transformers has them (strings;
    absent ones left out).
    """
    special = {}
    for name in SPECIAL_NAMES:
        value = settings.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            special[name] = value
        elif value is not None:
            raise TokenizerError(
                f"{folder / 'tokenizer_config.json'}: {name}: expected a string, got"
                f" {type(value).__name__}"
            )
    return special


def own_template(folder: Path) -> str | None:
    """The chat template that a tokenizer's directory brings, without loading the tokenizer. Raises
    TokenizerError.
    """
    return _template_of(folder, _read_config(folder / "tokenizer_config.json"))


def _template_of(folder: Path, settings: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        names = [item.get("name") for item in template]
        raise TokenizerError(
            f"{folder}: the tokenizer has several chat templates {names}. Hint: save the one you"
            " mean as a file and set chat_template to its path"
        )
    return template
