"""Applying layers to a render: a mask as runs of equal weight, and its arrays as JSON text.

What the layers paint is then multiplied by factors: the weight of reasoning, and the messages' own.
Masks have few distinct weights and long runs, so both arrays of a row are put together from runs
instead of token by token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import orjson

from cbdata.lossmask.policies import Layer, PolicyError, Span, layer_spans
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


Factor = tuple[int, int, float]
"""What the weights of the tokens ``[start, end)`` are multiplied by."""


def factors_of(
    render: Render, thinking_weight: float = 1.0, losses: Mapping[int, float] | None = None
) -> list[Factor]:
    """What every mask of a render is multiplied by, whatever the policy.

    Args:
        render: The render.
        thinking_weight: The factor of reasoning, in [0, 1].
        losses: The factor in [0, 1] of each message that has one other than 1, by message index; it
            holds for the whole turn, header included.

    Returns:
        The factors in the order in which they are applied: those of reasoning, then those of turns.
    """
    factors: list[Factor] = []
    if thinking_weight != 1:
        factors += [
            (span["token_start"], span["token_end"], thinking_weight)
            for span in render["alignment"].get("thinking_spans", ())
        ]
    if losses:
        factors += [
            (turn["token_start"], turn["token_end"], losses[turn["message_index"]])
            for turn in render["alignment"]["message_spans"]
            if turn["message_index"] in losses
        ]
    return factors


def make_mask(render: Render, layers: Sequence[Layer], factors: Sequence[Factor] = ()) -> Mask:
    """Paint the layers over a render and multiply what they give by the factors.

    Args:
        render: The render.
        layers: The layers of a policy, in the order in which they are painted.
        factors: What ``factors_of`` gives; where two overlap, both count.

    Raises:
        SpanError: A span or factor is not inside ``[0, sequence_length)``.
        PolicyError: The mask would have more than 255 distinct weights above 0.
    """
    length: int = render["sequence_length"]
    if len(layers) == 1 and not factors:
        (only,) = layers
        if mask := _disjoint(layer_spans(render, only), only.weight, length):
            return mask
    painted = [(layer, list(layer_spans(render, layer))) for layer in layers]
    for layer, spans in painted:
        for start, end in spans:
            if not 0 <= start <= end <= length:
                raise SpanError(_misfit(layer.span, start, end, length))
    codes = bytearray(length)
    weights = _Weights()
    for layer, spans in painted:
        code = bytes((weights.code(layer.weight),))
        for start, end in spans:
            codes[start:end] = code * (end - start)
    for start, end, factor in factors:
        if not 0 <= start <= end <= length:
            raise SpanError(_misfit("factor", start, end, length))
        codes[start:end] = codes[start:end].translate(weights.multiplied(codes[start:end], factor))
    runs = [
        (*match.span(), weights.by_code[codes[match.start()]])
        for match in _run_pattern(len(weights.by_code)).finditer(codes)
    ]
    return Mask(runs, length, length - codes.count(0))


def _misfit(what: str, start: int, end: int, length: int) -> str:
    return f"{what} span [{start}, {end}) does not fit a sequence of {length} tokens"


class _Weights:
    """The distinct weights of a mask, each with the byte that stands for it; 0 is byte 0."""

    def __init__(self) -> None:
        self.by_code: list[float] = [0.0]

    def code(self, weight: float) -> int:
        """The byte of a weight."""
        if weight not in self.by_code:
            if len(self.by_code) == 256:
                raise PolicyError("the mask has more than 255 distinct weights")
            self.by_code.append(weight)
        return self.by_code.index(weight)

    def multiplied(self, codes: bytes | bytearray, factor: float) -> bytes:
        """The table that turns each of these bytes into that of its weight times the factor."""
        table = bytearray(range(256))
        for code in set(codes):
            table[code] = self.code(self.by_code[code] * factor)
        return bytes(table)


def _disjoint(spans: Iterable[Span], weight: float, length: int) -> Mask | None:
    """The mask of one layer whose spans are in order, apart and inside the sequence, which most
    are; None for others.
    """
    runs: list[tuple[int, int, float]] = []
    place = trained = 0
    for start, end in spans:
        if not place <= start < end <= length:
            return None
        if start > place:
            runs.append((place, start, 0.0))
        runs.append((start, end, weight))
        trained += end - start
        place = end
    if place < length:
        runs.append((place, length, 0.0))
    return Mask(runs, length, trained if weight else 0)
