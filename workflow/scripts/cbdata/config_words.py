"""What ``--config`` words mean: the text as it was typed, and the value that it has by the type of
its key.

Snakemake reads these words as YAML before a workflow sees them, which cuts a text at `` #``, folds
line breaks, strips quotes and leaves numbers inside ``{...}`` as text. So the words are read here,
as they were typed: the text of a text key is its value, and only values of other types are YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

NULLS = ("null", "~", "None", "")
COLLECTIONS = {"{": "object", "[": "array"}


def read_words(words: Iterable[str]) -> dict[str, str]:
    """Key -> text of ``key=text`` words; a later word of the same key wins.

    A profile's ``config:`` mapping reaches Snakemake as such words too, with quotes around a text
    that looks like a number. Those quotes are not part of the text.
    """
    texts = {}
    for word in words:
        key, _, text = word.partition("=")
        quoted = re.fullmatch(r"'([^']*)'", text)
        texts[key] = quoted[1] if quoted and _is_number(quoted[1]) else text
    return texts


def typed_value(value: Any, spec: Mapping[str, Any]) -> Any:
    """The value of a key by its type in the schema, for a text from the command line or a file.

    Args:
        value: What was given; only texts and numbers change.
        spec: The key's schema; ``type`` may be one name, a list, or missing (an enum of texts).

    Returns:
        The text itself for a text key; None for ``null`` where the key may be null; for a text that
        begins with ``{`` or ``[``, and for the text of a key that cannot be a text, what it means
        as YAML 1.2. An integer where a number has no fraction and the key is an integer. A text
        that means nothing of the key's type comes back as it is: the schema says what is wrong.

    Raises:
        ValueError: A text begins with ``{`` or ``[`` where the key takes a mapping or a list, and
            is not whole. As a text it would be taken for a name.
    """
    types = spec.get("type", "string")
    types = {types} if isinstance(types, str) else set(types)
    if isinstance(value, str):
        value = _read_text(value, types)
    if isinstance(value, float) and "number" not in types and value.is_integer():
        return int(value)
    return value


def _read_text(text: str, types: set[str]) -> Any:
    written = text.strip()
    if "null" in types and written in NULLS:
        return None
    if COLLECTIONS.get(written[:1]) in types:
        try:
            return yaml.load(written, Loader=_Yaml12)
        except (yaml.YAMLError, ValueError) as error:
            raise ValueError(" ".join(str(error).split())) from error
    if "string" in types:
        return text
    try:
        return yaml.load(written, Loader=_Yaml12)
    except (yaml.YAMLError, ValueError):
        return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Yaml12(yaml.SafeLoader):
    """YAML with the scalars of version 1.2, as in JSON: ``no`` and ``on`` are texts, ``12:30`` and
    dates too, ``1e3`` is a number; and no key twice.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"the key {key!r} occurs twice")
        return super().construct_mapping(node, deep=deep)


def _scalars(name: str, pattern: str, read: Callable[[str], Any]) -> None:
    def construct(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        return read(str(loader.construct_scalar(node)))

    tag = f"tag:yaml.org,2002:{name}"
    _Yaml12.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), None)
    _Yaml12.add_constructor(tag, construct)


_Yaml12.yaml_implicit_resolvers = {}
_scalars("null", r"~|null|Null|NULL|None|", lambda text: None)
_scalars("bool", r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true")
_scalars("int", r"[-+]?[0-9]+", int)
_scalars("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float)
