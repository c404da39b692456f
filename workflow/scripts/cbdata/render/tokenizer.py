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
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cbdata.ids import canonical_json
from cbdata.render.added_tokens import SPACE, AddedToken, TokenFiles
from cbdata.render.settings import TokenizerError
from cbdata.render.token_trie import any_word
from cbdata.render.vocabulary import outline_of, read_tokenizer

_ADDED = re.compile(rb'"added_tokens"\s*:\s*(?=\[)')
_MODEL = re.compile(rb'"model"\s*:')

OwnTemplate = str | Mapping[str, str] | None
"""What a tokenizer brings: a chat template, several by name (Hermes: ``default`` and
``tool_use``), or none.
"""


@dataclass(frozen=True)
class ControlToken:
    """An added token that stands for structure, not for text."""

    id: int
    text: str
    special: bool


@dataclass(frozen=True)
class PlainTokenizer:
    """What the renderer needs of a tokenizer.

    - ``read``: gives ``model``, and reads it where that was put off
    - ``outline``: normaliser and decoder of ``model``, which are there at once
    - ``name``: how the vocabulary writes a token; None for one that it does not have
    - ``control``: text of a control token -> the token
    - ``pattern``: one group that matches any control token, the longest where several start at one
      place
    - ``text_ids``: added tokens that are text (white space, HTML tags, words), with their ids;
      ``text_pattern`` finds them
    - ``text_tokens``: those of them that stand for what they are written as; the others
      (SentencePiece's ``▁▁`` for two spaces) are in the model's vocabulary, which decodes them
    - ``byte_level``: every character of a token's name stands for one byte, so token lengths in
      bytes are known without offsets
    - ``normalises``: the text may be changed (NFC) before it is split into tokens
    - ``special``: the named special tokens that a chat template may print (``bos_token``, ...)
    - ``chat_template``: the tokenizer's own template, several by name, or None
    - ``sha256``: of tokenizer.json, and of the added tokens of other files where there are any
    """

    read: Callable[[], Tokenizer]
    outline: Tokenizer
    name: Callable[[int], str | None]
    control: dict[str, ControlToken]
    pattern: re.Pattern[str]
    text_tokens: dict[str, int]
    text_ids: dict[str, int]
    text_pattern: re.Pattern[str] | None
    byte_level: bool
    normalises: bool
    special: dict[str, str]
    chat_template: OwnTemplate
    sha256: str

    @property
    def model(self) -> Tokenizer:
        """Encodes text without any control token."""
        return self.read()


def load_tokenizer(folder: Path, *, model_later: bool = False) -> PlainTokenizer:
    """Read a tokenizer's folder: tokenizer.json, tokenizer_config.json, chat_template.jinja, and
    where they count special_tokens_map.json and added_tokens.json.

    Args:
        folder: The folder.
        model_later: Put off what takes longest, to hand the vocabulary over to the library, until
            ``model`` is asked for. What the library says of a broken one is then raised there.

    Raises:
        TokenizerError: A file cannot be used.
    """
    file = folder / "tokenizer.json"
    data = file.read_bytes()
    own, start, end = _own_tokens(data, file)
    digest = hashlib.sha256(data)
    data = b"".join((data[:start], b"[]", data[end:]))
    files = TokenFiles(folder)
    early = outline_of(data) if model_later else None
    read = _reading(data)
    name: Callable[[int], str | None]
    del data
    if early is None:
        outline = read()
        added = files.complete(own, outline.token_to_id, outline.get_vocab_size())
        name = outline.id_to_token
    else:
        outline, ids = early
        added = files.complete(own, ids.get, len(ids))
        name = {token: text for text, token in ids.items()}.get
    _check_supported(added, outline, file)
    structure = [token for token in added if not token.is_text]
    text = [token for token in added if token.is_text]
    rewrites = None if _does_nothing(_state(outline.normalizer)) else outline.normalizer
    normalise = rewrites.normalize_str if rewrites is not None else None
    return PlainTokenizer(
        read=read,
        outline=outline,
        name=name,
        control={
            token.content: ControlToken(token.id, token.content, token.special)
            for token in structure
        },
        pattern=control_pattern([vars(token) for token in structure], normalise),
        text_tokens={
            token.content: token.id
            for token in text
            if not _is_spelled(token, name(token.id), outline.decoder)
        },
        text_ids={token.content: token.id for token in text},
        text_pattern=control_pattern([vars(token) for token in text], normalise) if text else None,
        byte_level=type(outline.decoder).__name__ == "ByteLevel",
        normalises=rewrites is not None,
        special=files.special,
        chat_template=_template_of(folder, files.config),
        sha256=_sha256(digest, own, added),
    )


def _is_spelled(token: AddedToken, name: str | None, decoder: Any) -> bool:
    """Whether an added token stands for other letters than its own: the vocabulary has it by
    ``name``, and its letters for spaces are decoded as spaces.
    """
    if SPACE not in token.content or name != token.content or decoder is None:
        return False
    spaces = token.content.replace(SPACE, " ")
    return bool(decoder.decode(["x", token.content]) == "x" + spaces)


def _reading(data: bytes) -> Callable[[], Tokenizer]:
    """A function that gives the tokenizer of a file's bytes, which encodes texts whole and as they
    are. It may be called by several threads; the bytes are held until they were read.
    """
    waiting, made = [data], list[Tokenizer]()
    lock = threading.Lock()

    def read() -> Tokenizer:
        with lock:
            if waiting:
                model = read_tokenizer(waiting[0])
                model.no_truncation()
                model.no_padding()
                made.append(model)
                waiting.clear()
        return made[0]

    return read


def _own_tokens(data: bytes, file: Path) -> tuple[list[AddedToken], int, int]:
    """The added tokens and where their list stands in the file: cut out as bytes, since parsing all
    10 MB would take longer than the rest.
    """
    key, model = _ADDED.search(data), _MODEL.search(data)
    if key is None or (model is not None and model.start() < key.start()):
        raise TokenizerError(
            f"{file}: expected the key added_tokens before model, as the tokenizers library writes"
            " it. Hint: load and save it once with tokenizers"
        )
    start = key.end()
    text = data[start : model.start() if model else len(data)].decode("utf-8")
    added, length = json.JSONDecoder().raw_decode(text)
    return [AddedToken(**token) for token in added], start, start + len(text[:length].encode())


def _sha256(digest: Any, own: Sequence[AddedToken], added: Sequence[AddedToken]) -> str:
    if list(own) != list(added):
        digest.update(canonical_json([vars(token) for token in added]))
    return str(digest.hexdigest())


def _state(part: Any) -> Any:
    """What a normaliser or pre-tokeniser is set to, as JSON."""
    return json.loads(part.__getstate__()) if part is not None else None


def _does_nothing(normalizer: Any) -> bool:
    """Whether a normaliser is none, or a sequence of such."""
    return normalizer is None or (
        normalizer.get("type") == "Sequence" and all(map(_does_nothing, normalizer["normalizers"]))
    )


def _leaves_tokens(normalizer: Any) -> bool:
    """Whether a normaliser makes no added token out of other text: it composes marks, or writes
    spaces otherwise.
    """
    if _does_nothing(normalizer) or normalizer["type"] == "NFC":
        return True
    if normalizer["type"] == "Sequence":
        return all(map(_leaves_tokens, normalizer["normalizers"]))
    spaces = {"pattern": {"String": " "}, "content": SPACE}
    return bool(normalizer == {"type": "Replace", **spaces})


def _check_supported(added: Sequence[AddedToken], model: Tokenizer, file: Path) -> None:
    """Refuse tokenizers whose tokens depend on more than the text between two control tokens."""
    if '"prepend_scheme": "first"' in json.dumps(_state(model.pre_tokenizer)):
        raise TokenizerError(
            f"{file}: the pre-tokenizer puts a space before the first word only (Metaspace,"
            " prepend_scheme first), which is not supported"
        )
    swallowing = [token.content for token in added if token.lstrip or token.rstrip]
    if swallowing and any(
        token.is_text and token.content != token.content.strip() for token in added
    ):
        raise TokenizerError(
            f"{file}: added tokens of white space beside ones that swallow it are not supported:"
            f" {swallowing[:5]}"
        )
    if not _leaves_tokens(_state(model.normalizer)):
        late = [token.content for token in added if token.normalized and not token.is_text]
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
    return rf"[\w\u200c\u200d{_marks()}]"


def _not_composed(content: str, normalise: Callable[[str], str]) -> str:
    """A condition that no mark follows with which the text's last character is composed."""
    composing = [mark for mark in _marks() if normalise(content + mark) != content + mark]
    return f"(?![{_marks()}]*[{''.join(composing)}])" if composing else ""


@functools.cache
def _marks() -> str:
    """The combining marks; none of them has a meaning in a character class."""
    return "".join(
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character)[0] == "M"
    )


def control_pattern(
    added: Sequence[Mapping[str, Any]], normalise: Callable[[str], str] | None = None
) -> re.Pattern[str]:
    """Added tokens as one group, with the white space that lstrip and rstrip tokens swallow.

    The tokenizers library takes the leftmost, then longest match; an alternation sorted by length
    does the same.

    Args:
        added: The tokens to find, as tokenizer.json has them.
        normalise: What the tokenizer does to a text first. A token that is found only behind that
            is not found where it would be composed with a mark that follows it.
    """
    found: list[str] = []
    words: list[str] = []  # since the last token that is found under a condition
    ordered = sorted(added, key=lambda token: -len(token["content"]))
    beginnings = {
        "" if token["lstrip"] or token["single_word"] else token["content"][:1] for token in added
    }
    first = beginnings.pop() if len(beginnings) == 1 else ""
    for token in ordered:
        before, behind = _conditions(token, normalise)
        content = token["content"][len(first) :]
        if content and not before and not behind:
            words.append(content)
            continue
        if words:
            found.append(any_word(words))
            words = []
        found.append(before + re.escape(content) + behind)
    if words:
        found.append(any_word(words))
    if not found:
        return re.compile(r"((?!))")
    return re.compile(f"({re.escape(first)}(?:{'|'.join(found)}))")


def _conditions(
    token: Mapping[str, Any], normalise: Callable[[str], str] | None
) -> tuple[str, str]:
    """What must stand before and behind an added token, or is swallowed by it there."""
    before = r"\s*" if token["lstrip"] else ""
    behind = r"\s*" if token["rstrip"] else ""
    if token["single_word"]:
        return before + f"(?<!{_word()})", f"(?!{_word()})" + behind
    if normalise is not None and token["normalized"]:
        return before, _not_composed(token["content"], normalise) + behind
    return before, behind


def own_template(folder: Path) -> OwnTemplate:
    """The chat template that a tokenizer's directory brings, without loading the tokenizer. Raises
    TokenizerError.
    """
    return _template_of(folder, TokenFiles(folder).config)


def _template_of(folder: Path, settings: dict[str, Any]) -> OwnTemplate:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        return {str(item.get("name")): str(item.get("template")) for item in template}
    return template
