"""Applying layers to a render: a mask as runs of equal weight, and its arrays as JSON text.

Masks have few distinct weights and long runs, so both arrays of a row are put together from runs
instead of token by token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import orjson

from cbdata.lossmask.policies import Layer, Span, layer_spans
from cbdata.records import Render

MASKED_LABEL = -100
"""Label without loss, the ``ignore_index`` of PyTorch's cross entropy that Hugging Face models use.
"""


class SpanError(ValueError):
    """A render holds a span that does not fit its own tokens."""


@dataclass(frozen=True)
class Mask:
    """The loss weights of a render's tokens as ``(start, end, weight)`` runs, which cover ``[0,
    length)`` in order.
    """

    runs: Sequence[tuple[int, int, float]]
    length: int
    trained: int

    def weights(self) -> list[float]:
        """The weight of every token."""
        return [weight for start, end, weight in self.runs for _ in range(end - start)]

    def labels(self, input_ids: Sequence[int]) -> list[int]:
        """``input_ids`` where the weight is positive, else -100; not shifted."""
        return [
            token
            for start, end, weight in self.runs
            for token in (input_ids[start:end] if weight else [MASKED_LABEL] * (end - start))
        ]

    def weights_json(self) -> bytes:
        """``weights()`` as a JSON array. Every number is written as a float, so that readers infer
        one type for all rows.
        """
        return (
            b"[%b]"
            % b"".join([_item(weight) * (end - start) for start, end, weight in self.runs])[:-1]
        )

    def labels_json(self, ids: IdsText) -> bytes:
        """``labels`` of the ids as a JSON array."""
        parts = [
            ids.text(start, end) if weight else b"-100," * (end - start)
            for start, end, weight in self.runs
        ]
        return b"[%b]" % b"".join(parts)[:-1]


class IdsText:
    """Token ids as JSON text by range; a range that several policies train is written once."""

    def __init__(self, input_ids: Sequence[int]) -> None:
        self._ids = input_ids
        self._known: dict[tuple[int, int], bytes] = {}

    def text(self, start: int, end: int) -> bytes:
        """The ids of ``[start, end)``, a comma after each."""
        text = self._known.get((start, end))
        if text is None:
            text = self._known[start, end] = orjson.dumps(self._ids[start:end])[1:-1] + b","
        return text


@cache
def _item(weight: float) -> bytes:
    return orjson.dumps(weight) + b","


@cache
def _run_pattern(codes: int) -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(bytes((code,))) + b"+" for code in range(codes)))


def make_mask(render: Render, layers: Sequence[Layer]) -> Mask:
    """Paint the layers over a render.

    Raises SpanError where a span is not inside ``[0, sequence_length)``, and ValueError for more
    than 255 distinct weights.
    """
    length: int = render["sequence_length"]
    painted = [(layer, list(layer_spans(render, layer))) for layer in layers]
    for layer, spans in painted:
        for start, end in spans:
            if not 0 <= start <= end <= length:
                raise SpanError(
                    f"{layer.span} span [{start}, {end}) does not fit a sequence of {length} tokens"
                )
    if len(painted) == 1 and (mask := _disjoint(painted[0][1], painted[0][0].weight, length)):
        return mask
    codes = bytearray(length)
    weights: list[float] = [0.0]
    for layer, spans in painted:
        if layer.weight not in weights:
            weights.append(layer.weight)
        code = bytes((weights.index(layer.weight),))
        for start, end in spans:
            codes[start:end] = code * (end - start)
    runs = [
        (*match.span(), weights[codes[match.start()]])
        for match in _run_pattern(len(weights)).finditer(codes)
    ]
    return Mask(runs, length, length - codes.count(0))


def _disjoint(spans: Sequence[Span], weight: float, length: int) -> Mask | None:
    """The mask of one layer whose spans are in order and apart, which most are; None for others."""
    runs: list[tuple[int, int, float]] = []
    place = trained = 0
    for start, end in spans:
        if start < place or start == end:
            return None
        if start > place:
            runs.append((place, start, 0.0))
        runs.append((start, end, weight))
        trained += end - start
        place = end
    if place < length:
        runs.append((place, length, 0.0))
    return Mask(runs, length, trained if weight else 0)
