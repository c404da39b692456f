"""Control-token text of messages is moved out of the way, and back, character by character."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.render.escape import PLANES, Escaper
from cbdata.render.tokenizer import PlainTokenizer

TOKENS = ("<|im_start|>", "<|im_end|>")
PLANE_A, PLANE_B = (chr(plane + 7) for plane in PLANES)


def escaper(*tokens: str, swallowing: bool = False) -> Escaper:
    body = "|".join(map(re.escape, tokens))
    pattern = re.compile(rf"(\s*(?:{body}))" if swallowing else f"({body})")
    tokenizer = SimpleNamespace(pattern=pattern, control=dict.fromkeys(tokens))
    return Escaper(cast(PlainTokenizer, tokenizer))


# Of the two planes that text is moved into, one may be in use.
letters = st.characters(exclude_categories=["Cs"], max_codepoint=PLANES[0] - 1) | st.just(PLANE_A)
pieces = st.lists(st.sampled_from(TOKENS) | letters).map("".join)
values = st.recursive(
    pieces, lambda inner: st.lists(inner) | st.dictionaries(pieces, inner), max_leaves=5
)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [text for pair in value.items() for each in pair for text in strings(each)]


@given(value=values)
def test_hidden_text_has_no_token_keeps_its_length_and_comes_back(value: Any) -> None:
    hider = escaper(*TOKENS)
    hider.prepare(value)
    hidden = strings(hider.hide(value, 3))
    originals = strings(value)
    assert [len(text) for text in hidden] == [len(text) for text in originals]
    assert not any(token in text for text in hidden for token in TOKENS)
    assert [hider.reveal(text) for text in hidden] == originals
    counted = {(3, token): sum(text.count(token) for text in originals) for token in TOKENS}
    assert hider.counts == {key: count for key, count in counted.items() if count}


def test_text_that_uses_both_planes_is_refused() -> None:
    hider = escaper(*TOKENS)
    hider.prepare(PLANE_A)
    with pytest.raises(Reject) as caught:
        hider.prepare([PLANE_A, {"key": PLANE_B}])
    assert caught.value.reason == "private_use_conflict"


def test_a_token_of_any_characters_is_hidden() -> None:
    tokens = ("<\uff5cUser\uff5c>", "<\U0001f600>")
    hider = escaper(*tokens)
    text = f"say {tokens[0]} and {tokens[1]}"
    hider.prepare(text)
    hidden = hider.hide(text, 0)
    assert len(hidden) == len(text)
    assert not any(token in hidden for token in tokens)
    assert hider.reveal(hidden) == text


def test_a_token_with_white_space_of_a_rare_kind_is_refused() -> None:
    hider = escaper("<a>", swallowing=True)
    hider.prepare("x")
    with pytest.raises(Reject) as caught:
        hider.hide("say\u2003<a>", 0)
    assert caught.value.reason == "control_token_unescapable"


def test_an_assistant_s_own_reasoning_markers_stay_and_others_do_not() -> None:
    hider = escaper("<think>", "</think>")
    text = "<think>so</think> then <think>"
    hider.prepare(text)
    own = hider.hide_message({"role": "assistant", "content": text}, 0)["content"]
    assert own.startswith("<think>so</think> then ")
    assert "<think>" not in own[len("<think>") :]
    other = hider.hide_message({"role": "user", "content": text}, 0)["content"]
    assert "think" not in other
    assert hider.reveal(own) == hider.reveal(other) == text
