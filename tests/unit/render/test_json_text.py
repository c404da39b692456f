"""JSON of values with hidden text: what JSON escapes comes out escaped, the rest stays hidden."""

from __future__ import annotations

import json

import pytest

from cbdata.render.json_text import dump

HIDDEN = {"\U000f0000": "<", "\U000f0001": '"', "\U000f0002": "\uff5c", "\U000f0003": ">"}
WRITTEN = '<"\uff5c>'


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_hidden_text_is_escaped_as_it_was_written(ensure_ascii: bool) -> None:
    value = {"k": ["é \U0001f600 " + "".join(HIDDEN)], "n": 1}
    text = dump(value, HIDDEN, ensure_ascii=ensure_ascii)
    shown = "".join(HIDDEN.get(character, character) for character in text)
    plain = {"k": ["é \U0001f600 " + WRITTEN], "n": 1}
    assert shown == json.dumps(plain, ensure_ascii=ensure_ascii)
    assert "<" not in text
    assert ">" not in text
    assert '\\"' in text


def test_without_hidden_text_it_is_json() -> None:
    assert dump({"a": "é<"}, {}, indent=1) == json.dumps({"a": "é<"}, ensure_ascii=False, indent=1)


def test_keys_are_in_the_order_of_what_was_written() -> None:
    less, quote, _, more = HIDDEN
    value = {"a": 1, more: [{"=": 1, less: 2}], quote: 3, "#": None}
    text = dump(value, HIDDEN, sort_keys=True)
    shown = "".join(HIDDEN.get(character, character) for character in text)
    plain = {"a": 1, ">": [{"=": 1, "<": 2}], '"': 3, "#": None}
    assert shown == json.dumps(plain, sort_keys=True)
