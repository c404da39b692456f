"""The pattern for many words finds what an alternation sorted by length finds."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cbdata.render.token_trie import any_word

LETTERS = st.text(alphabet="<|ab.]^- \n", max_size=6)


@given(words=st.sets(LETTERS.filter(bool), min_size=1), text=st.lists(LETTERS).map("".join))
def test_finds_the_longest_word_at_each_place(words: set[str], text: str) -> None:
    longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    expected = re.split(f"({longest_first})", text)
    assert re.split(f"({any_word(words)})", text) == expected


def test_each_letter_of_common_beginnings_is_tried_once() -> None:
    words = [f"<unused{number}>" for number in range(2000)]
    pattern = any_word(words)
    assert pattern.startswith("<unused(?:")
    assert pattern.count("unused") == 1
    assert all(re.fullmatch(pattern, word) for word in words)


def test_a_chain_of_beginnings() -> None:
    words = ["\u2581" * length for length in range(2, 32)]
    assert re.compile(any_word(words)).findall("\u2581" * 40) == ["\u2581" * 31, "\u2581" * 9]
