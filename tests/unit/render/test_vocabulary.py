"""Large vocabularies are read in another way and come to the same tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cbdata.render.vocabulary import outline_of, read_tokenizer

ODD = ['"', "]", "[", "],[", '"],["', "\\", "\n\n", "é", '"merges": [', "}", "merges", ","]
"""Texts that look like the JSON around them."""
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)


def tokenizer_json(letters: Sequence[str], *, indent: int | None = None, **model: Any) -> bytes:
    """A byte-level tokenizer that knows letters and every pair of neighbours among them."""
    letters = list(dict.fromkeys(letters))
    merges = [[left, right] for left, right in pairwise(letters)]
    joined = ["".join(pair) for pair in merges]
    vocabulary = {text: token for token, text in enumerate(dict.fromkeys([*letters, *joined]))}
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    bytewise["use_regex"] = True
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": bytewise,
        "post_processor": None,
        "decoder": bytewise,
        "model": {**bpe, "vocab": vocabulary, "merges": merges} | model,
    }
    return json.dumps(whole, ensure_ascii=False, indent=indent).encode()


def behind_the_model(key: str) -> bytes:
    whole = json.loads(tokenizer_json("ab"))
    # As a sequence its end looks like the end of the merges.
    whole[key] = {"type": "Sequence", f"{key}s".replace("_", ""): [whole.pop(key)]}
    return json.dumps(whole).encode()


@given(
    letters=st.lists(st.sampled_from(ODD) | WORDS, min_size=2),
    block=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    flags=st.fixed_dictionaries(
        {"byte_fallback": st.booleans(), "ignore_merges": st.booleans(), "fuse_unk": st.booleans()}
    ),
)
def test_same_tokenizer_as_the_library_reads(
    letters: list[str], block: int, indent: int | None, flags: dict[str, bool]
) -> None:
    data = tokenizer_json(letters, indent=indent, **flags)
    expected = Tokenizer.from_buffer(data).to_str()
    assert read_tokenizer(data, large=0, block=block).to_str() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model | {"merges": [" ".join(pair) for pair in model["merges"]]},
        lambda model: model | {"merges": []},
        lambda model: {"merges": model.pop("merges")} | model,
        lambda model: {"type": "WordLevel", "vocab": model["vocab"], "unk_token": "a"},
        lambda model: model | {"dropout": 0.5, "unk_token": "a", "end_of_word_suffix": ""},
    ],
    ids=["text_merges", "no_merges", "other_order", "word_level", "other_values"],
)
def test_models_of_other_kinds(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    whole = json.loads(tokenizer_json(["a", "b", "c"]))
    whole["model"] = change(whole["model"])
    data = json.dumps(whole).encode()
    expected = Tokenizer.from_buffer(data)
    assert read_tokenizer(data, large=0).to_str() == expected.to_str()
    assert expected.encode("abc").ids or whole["model"].get("dropout")


@pytest.mark.parametrize("damage", [b'"merges"', b'"vocab"', b"]}}"])
def test_a_broken_file_is_an_error(damage: bytes) -> None:
    data = tokenizer_json(["a", "b"]).replace(damage, b"")
    with pytest.raises(Exception, match=r"line 1|missing field|expected|EOF"):
        read_tokenizer(data, large=0)


@given(
    letters=st.lists(st.sampled_from(ODD) | WORDS, min_size=2), indent=st.sampled_from([None, 2])
)
def test_the_outline_is_the_vocabulary_and_what_stands_before_it(
    letters: list[str], indent: int | None
) -> None:
    data = tokenizer_json(letters, indent=indent)
    whole, outline = Tokenizer.from_buffer(data), outline_of(data)
    assert outline is not None
    assert outline.ids == whole.get_vocab() and len(outline.ids) == whole.get_vocab_size()
    empty = json.loads(outline.tokenizer.to_str()) | {"model": None}
    assert empty == json.loads(whole.to_str()) | {"model": None}


@pytest.mark.parametrize(
    "data",
    [
        tokenizer_json("ab", type="WordLevel"),
        tokenizer_json("ab", vocab={}, merges=[]),
        tokenizer_json("ab")[:-30],
        tokenizer_json("ab").replace(b'"type": "NFC"', b'"type": "none of theirs"'),
        behind_the_model("normalizer"),
        behind_the_model("pre_tokenizer"),
        behind_the_model("decoder"),
        b"{}",
    ],
    ids=[
        "another model",
        "no vocabulary",
        "cut short",
        "another normaliser",
        "normaliser behind the model",
        "pre-tokenizer behind the model",
        "decoder behind the model",
        "no model",
    ],
)
def test_what_is_written_otherwise_has_no_outline(data: bytes) -> None:
    assert outline_of(data) is None


def test_a_large_file_has_no_outline() -> None:
    assert outline_of(tokenizer_json("ab"), large=100) is None
