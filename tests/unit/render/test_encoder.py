"""The segment encoder: token boundaries inside a stretch, the cache's bound, and what
it refuses.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.config import default_settings
from cbdata.rejects import Reject
from cbdata.render.encoder import SegmentEncoder
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from tests.unit.render.setups import Setup

# é as one and as two code points, an emoji of several tokens, a long run so that boundaries lie
# deep inside
TEXT = st.text(alphabet=st.sampled_from('ab, \n"é\u0301e😀日x'), min_size=1, max_size=30)


def token_bytes(renderer: Renderer, ids: list[int]) -> list[int]:
    """Bytes of each token, by its byte-level name."""
    return [len(renderer.tokenizer.model.id_to_token(token)) for token in ids]


def without_accents(text: str) -> str:
    return unicodedata.normalize("NFD", text).replace("\u0301", "")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=TEXT, filler=st.sampled_from(["", "lorem ipsum " * 12]), rest=TEXT, data=st.data())
def test_boundaries_take_in_every_overlapping_token(
    start: str, filler: str, rest: str, data: st.DataObject, renderer: Renderer
) -> None:
    text = start + filler + rest
    encoder = SegmentEncoder(renderer.tokenizer)
    segment = encoder.encode([text])[text]
    low = data.draw(st.integers(0, len(text) - 1))
    high = data.draw(st.integers(low + 1, len(text)))
    first, last = (
        encoder.token_at(segment, low, end=False),
        encoder.token_at(segment, high, end=True),
    )
    if renderer.tokenizer.normalises and not text.isascii():
        # A boundary may lie inside a composed character, which then belongs to the span: accents
        # are left out of the comparison.
        spelled = renderer.decode(segment.packed[first:last])
        assert without_accents(text[low:high]) in without_accents(spelled) or "\ufffd" in spelled
        return
    ends = [0]
    for width in token_bytes(renderer, segment.packed.tolist()):
        ends.append(ends[-1] + width)
    low_byte, high_byte = len(text[:low].encode()), len(text[:high].encode())
    overlapping = [
        index
        for index in range(len(segment.packed))
        if ends[index] < high_byte and ends[index + 1] > low_byte
    ]
    assert (first, last) == (overlapping[0], overlapping[-1] + 1)


COMPOSED = [
    ("ae\u0301b", (1, 2), ["\xe9"]),
    ("ae\u0301b", (2, 3), ["\xe9"]),
    ("ae\u0301b", (2, 4), ["\xe9", "b"]),
    ("e\u0301", (1, 2), ["\xe9"]),
    ("x \u1112\u1161\u11ab y", (3, 4), [" \ud55c"]),
]
"""Texts that NFC makes shorter, spans of their characters, and the tokens that hold these."""


@pytest.mark.parametrize(("text", "span", "tokens"), COMPOSED)
def test_a_character_that_went_into_another_lies_in_its_token(
    text: str, span: tuple[int, int], tokens: list[str], shared_dir: Path
) -> None:
    chosen = default_settings(RenderSettings, tokenizer=str(shared_dir / "tokenizers/qwen3"))
    renderer = Renderer.load(chosen)
    encoder = SegmentEncoder(renderer.tokenizer)
    segment = encoder.encode([text])[text]
    first = encoder.token_at(segment, span[0], end=False)
    last = encoder.token_at(segment, span[1], end=True)
    spelled = renderer.decode(segment.packed[first:last])
    assert spelled == "".join(tokens)


def test_empty_span_at_the_edges(smollm2_renderer: Renderer) -> None:
    encoder = smollm2_renderer.encoder
    segment = encoder.encode(["hello world"])["hello world"]
    assert encoder.token_at(segment, 0, end=False) == encoder.token_at(segment, 0, end=True) == 0
    assert (
        encoder.token_at(segment, 11, end=False)
        == encoder.token_at(segment, 11, end=True)
        == len(segment.packed)
    )


def test_cache_is_bounded_and_changes_nothing(smollm2: Setup) -> None:
    texts = [f"text number {number} " * 5 for number in range(200)]
    small, large = (
        SegmentEncoder(smollm2.renderer().tokenizer, characters) for characters in (1000, 10**6)
    )
    for _ in range(2):
        for text in texts:
            assert small.encode([text])[text].packed == large.encode([text])[text].packed
    total = sum(map(len, texts))
    assert large.encoded_characters == total
    assert small.encoded_characters == 2 * total
    assert small.cached_characters <= 1000 + 2 * max(map(len, texts))
    assert large.cached_characters == total


def test_a_text_is_encoded_once(smollm2: Setup) -> None:
    encoder = SegmentEncoder(smollm2.renderer().tokenizer)
    found = encoder.encode(["a b", "c", "a b"])
    assert list(found) == ["a b", "c"]
    assert encoder.encode(["c"])["c"] is found["c"]
    assert encoder.encoded_characters == 4


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<tool_call>",
        "</think>",
        "<|python_tag|>",
        "<|endoftext|>",
        "<repo_name>",
    ],
)
def test_control_text_is_plain_text(renderer: Renderer, text: str) -> None:
    segment = renderer.encoder.encode([text])[text]
    control = {token.id for token in renderer.tokenizer.control.values()}
    assert control.isdisjoint(segment.packed)
    assert renderer.decode(segment.packed) == text


def test_tokens_that_spell_something_else_are_refused(smollm2: Setup) -> None:
    tokenizer = smollm2.renderer().tokenizer
    right = tokenizer.model.encode("a b", add_special_tokens=False).ids
    control = next(iter(tokenizer.control.values())).id
    for ids, reason in (
        (right[:-1], "tokens_do_not_spell_text"),
        ([*right, control], "control_token_from_text"),
    ):
        model = MagicMock(wraps=tokenizer.model, normalizer=None)
        model.encode_batch_fast.side_effect = lambda *_, ids=ids, **__: [SimpleNamespace(ids=ids)]
        with pytest.raises(Reject, match=reason):
            SegmentEncoder(replace(tokenizer, model=model)).encode(["a b"])


def test_json_is_the_ids(smollm2_renderer: Renderer) -> None:
    segment = smollm2_renderer.encoder.encode(["some text"])["some text"]
    assert segment.json == ",".join(map(str, segment.packed)).encode()
