"""What token ids spell: every cut of a text, also between the bytes of a character, gives the
characters that each token holds.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.render.encoder import SegmentEncoder
from cbdata.render.tokenizer import load_tokenizer
from cbdata.render.written import Speller, spell_bytes
from tests.unit.render.families import ASK, PLAIN, family_renderer

loaded = functools.cache(load_tokenizer)
TOKENIZERS = ("qwen3", "llama-3.1", "gemma-3", "gpt-oss")


@given(st.text(max_size=30), st.data())
def test_a_character_lies_in_every_token_that_holds_one_of_its_bytes(
    text: str, data: st.DataObject
) -> None:
    text = text.encode("utf-8", "ignore").decode()
    whole = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(whole) - 1, 1)), max_size=20)))
    edges = [0, *(cut for cut in cuts if cut < len(whole)), len(whole)] if whole else [0]
    tokens = [whole[a:b] for a, b in itertools.pairwise(edges)]
    spelled, places = spell_bytes(tokens)
    assert spelled == text
    ends = [len(text[: at + 1].encode()) for at in range(len(text))]
    for (low, high), (start, end) in zip(places, itertools.pairwise(edges), strict=True):
        held = [
            at
            for at, stop in enumerate(ends)
            if stop > start and stop - len(text[at].encode()) < end
        ]
        assert list(range(low, high)) == held


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=12))
def test_bytes_that_are_no_text_are_replaced_as_decoders_do(tokens: list[bytes]) -> None:
    text, places = spell_bytes(tokens)
    assert text == b"".join(tokens).decode("utf-8", "replace")
    assert places == sorted(places)
    assert all(0 <= low <= high <= len(text) for low, high in places)
    assert set(range(len(text))) == {at for low, high in places for at in range(low, high)}


def test_a_broken_character_ends_before_the_next_token() -> None:
    """F0 9F begins a character that the A does not go on with; in the second row 98 does."""
    assert spell_bytes([b"\xf0\x9f", b"A"]) == ("\ufffdA", [(0, 1), (1, 2)])
    assert spell_bytes([b"\xf0\x9f", b"\x98A"]) == ("\ufffdA", [(0, 1), (0, 2)])
    assert spell_bytes([b"\xef\xbf", b"\xbdA"]) == ("\ufffdA", [(0, 1), (0, 2)])


@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
def test_random_ids_spell_what_the_tokenizer_decodes(
    shared_dir: Path, name: str, data: st.DataObject
) -> None:
    tokenizer = loaded(shared_dir / "tokenizers" / name)
    size = tokenizer.model.get_vocab_size()
    known = st.integers(0, size - 1).filter(lambda token: tokenizer.model.id_to_token(token))
    added = {token.id for token in tokenizer.control.values()} | set(tokenizer.text_tokens.values())
    ids = [token for token in data.draw(st.lists(known, max_size=40)) if token not in added]
    written = Speller(tokenizer).spell(ids)
    assert written.text == tokenizer.model.decode(ids, skip_special_tokens=False)
    assert (written.ids, len(written.starts), len(written.ends)) == (ids, len(ids), len(ids))


def test_runs_of_spaces_that_are_added_tokens_are_spaces(shared_dir: Path) -> None:
    """Gemma has a token for each run of spaces, whose letters are not spaces."""
    tokenizer = loaded(shared_dir / "tokenizers" / "gemma-3")
    text = "a  b\n    c <b>d</b>   e"
    ids = list(SegmentEncoder(tokenizer).encode([text])[text].packed)
    assert tokenizer.model.token_to_id("\u2581\u2581") in ids
    assert Speller(tokenizer).spell(ids).text == text
    assert family_renderer(PLAIN + ASK, tokenizer).decode(ids) == text


def test_sentencepiece_bytes_share_their_character(shared_dir: Path) -> None:
    tokenizer = load_tokenizer(shared_dir / "tokenizers" / "gemma-3")
    names = ["▁a", "<0xF0>", "<0x9F>", "<0x8C>", "<0x8A>", "b", "<0xFF>", "<0xF0>"]
    ids = [tokenizer.model.token_to_id(name) for name in names]
    written = Speller(tokenizer).spell(ids)
    assert written.text == " a🌊b\ufffd\ufffd"
    assert list(zip(written.starts, written.ends, strict=True)) == [
        (0, 2),
        *[(2, 3)] * 4,
        (3, 4),
        (4, 5),
        (5, 6),
    ]


def test_an_id_that_the_tokenizer_does_not_have_is_a_reject(shared_dir: Path) -> None:
    speller = Speller(load_tokenizer(shared_dir / "tokenizers" / "qwen3"))
    with pytest.raises(Reject, match="no token 999999") as error:
        speller.spell([1, 999_999])
    assert error.value.reason == "completion_not_spelled"
