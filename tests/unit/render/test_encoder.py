"""The segment encoder: token boundaries inside a stretch, the cache's bound, and what
it refuses.
"""

from __future__ import annotations

import unicodedata
from array import array
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.config import default_settings
from cbdata.rejects import Reject
from cbdata.render.encoder import DEEP, Segment, SegmentEncoder
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.render.text_encoder import Ids
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


def test_json_is_the_ids(smollm2_renderer: Renderer) -> None:
    segment = smollm2_renderer.encoder.encode(["some text"])["some text"]
    assert segment.json == ",".join(map(str, segment.packed)).encode()


class Slow:
    """Encodes a text as its length, when it is told to."""

    def __init__(self) -> None:
        self.begun: list[tuple[list[str], Future[list[Ids]]]] = []

    def begin(self, texts: list[str]) -> Future[list[Ids]]:
        self.begun.append((texts, Future()))
        return self.begun[-1][1]

    def answer(self, number: int) -> None:
        texts, future = self.begun[number]
        future.set_result([Ids.of([len(text)]) for text in texts])


def test_a_text_on_its_way_is_not_asked_for_again(smollm2_renderer: Renderer) -> None:
    slow = Slow()
    encoder = SegmentEncoder(smollm2_renderer.tokenizer, encoding=slow)
    first, second, third = (encoder.begin(texts) for texts in (["a", "bb"], ["bb", "ccc"], ["a"]))
    assert [texts for texts, _ in slow.begun] == [["a", "bb"], ["ccc"]]
    assert (first.is_ready, second.is_ready) == (False, False)
    slow.answer(0)
    assert (first.is_ready, second.is_ready) == (True, False)
    slow.answer(1)
    # The later one may be looked at first.
    for batch, lengths in (
        (second, {"bb": 2, "ccc": 3}),
        (first, {"a": 1, "bb": 2}),
        (third, {"a": 1}),
    ):
        assert {text: segment.packed for text, segment in batch.segments().items()} == {
            text: array("I", [length]) for text, length in lengths.items()
        }
    assert encoder.begin(["a", "bb", "ccc"]).is_ready and len(slow.begun) == 2
    assert encoder.cached_characters == encoder.encoded_characters == 6


class Refusing:
    """Refuses whatever is asked for together with ``bad``, once it is asked to answer."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def begin(self, texts: list[str]) -> Future[list[Ids]]:
        self.asked.append(texts)
        future: Future[list[Ids]] = Future()
        if "bad" in texts:
            future.set_exception(Reject("control_token_from_text", "bad"))
        else:
            future.set_result([Ids.of([len(text)]) for text in texts])
        return future


def test_who_waits_for_a_text_that_was_asked_for_with_a_refused_one_is_not_refused(
    smollm2_renderer: Renderer,
) -> None:
    refusing = Refusing()
    encoder = SegmentEncoder(smollm2_renderer.tokenizer, encoding=refusing)
    first, second, third = (
        encoder.begin(texts) for texts in (["b", "bad"], ["b", "ccc"], ["ccc", "b", "bad"])
    )
    assert refusing.asked == [["b", "bad"], ["ccc"]]
    found = second.segments()
    assert {text: segment.packed.tolist() for text, segment in found.items()} == {
        "b": [1],
        "ccc": [3],
    }
    for batch in (first, third, first, third):
        with pytest.raises(Reject, match="bad"):
            batch.segments()
    assert second.segments() == found
    assert refusing.asked[2:] == [["b"], ["bad"]]
    assert set(encoder.begin(["b", "ccc"]).segments()) == {"b", "ccc"}


@pytest.mark.parametrize("character", [0, 1, DEEP, DEEP + 1, 2 * DEEP, 3 * DEEP - 1, 3 * DEEP])
def test_bytes_before_a_character(character: int) -> None:
    text = ("a\u95ee\U0001f600" * DEEP)[: 3 * DEEP]
    segment = Segment(text, array("I"), b"")
    assert segment.bytes_before(character) == len(text[:character].encode("utf-8"))
    assert Segment("a" * 3 * DEEP, array("I"), b"").bytes_before(character) == character
