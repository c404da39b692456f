"""Control-token text of messages is moved out of the way, and back, character by character."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.render.escape import PLANE_SIZE, PLANES, Escaper
from cbdata.render.tokenizer import PlainTokenizer

TOKENS = ("<|im_start|>", "<|im_end|>")
PLANE_A, PLANE_B = (chr(plane + 7) for plane in PLANES)


def escaper(*tokens: str) -> Escaper:
    pattern = re.compile(f"({'|'.join(map(re.escape, tokens))})")
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


def test_a_token_outside_the_basic_plane_is_refused() -> None:
    token = f"<{chr(PLANE_SIZE)}>"
    hider = escaper(token)
    hider.prepare(token)
    with pytest.raises(Reject) as caught:
        hider.hide(f"say {token}", 0)
    assert caught.value.reason == "control_token_unescapable"
