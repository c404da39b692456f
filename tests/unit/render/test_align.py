"""Token ids of a text in pieces are those of the pieces, from any token to any other."""

from __future__ import annotations

from array import array
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from cbdata.ids import token_ids_sha256
from cbdata.render.align import TokenizedText
from cbdata.render.encoder import Segment, SegmentEncoder

NO_ENCODER = cast("SegmentEncoder", None)  # only boundaries inside a segment need one


@given(
    pieces=st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=6),
    start=st.integers(0, 20),
    end=st.none() | st.integers(0, 20),
)
def test_ids_between_two_tokens(pieces: list[list[int]], start: int, end: int | None) -> None:
    segments = [Segment("x", array("I", ids), b",".join(b"%d" % n for n in ids)) for ids in pieces]
    text = TokenizedText(list(enumerate(segments)), NO_ENCODER)
    whole = [token for ids in pieces for token in ids]
    assert text.length == len(whole)
    assert text.ids(start, end) == whole[start:end]
    assert text.ids_json(start, end) == b",".join(b"%d" % token for token in whole[start:end])
    assert text.sha256(start) == token_ids_sha256(array("I", whole[:start]))
