"""Span kinds, and policies as layers painted over them.

A layer gives one weight to every span of one kind. Layers are painted in order, so a later layer
replaces the weight of an earlier one where they overlap, and a layer of weight 0 takes tokens out
again. All spans are half-open token ranges ``[start, end)`` of a render.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cbdata.records import Render
from cbdata.records.words import ROLES
from cbdata.traces.turns import completion_spans

Span = tuple[int, int]


class PolicyError(ValueError):
    """A policy, its parameters or the registry cannot be used; the message says what was
    expected.
    """


class ParamsMissing(PolicyError):
    """A policy that lives by its parameters was chosen without any."""


@dataclass(frozen=True)
class Layer:
    """One weight in [0, 1] for all spans of a kind.

    ``roles`` narrows ``message`` and ``content``. ``after_injection`` keeps only tokens from the
    end of the first injection span on (none where a render has no injection), ``after_thinking``
    only those of each span from the end of the first reasoning in it on (all where it has none),
    and ``first`` only the first so many of what is then left of each span. ``start`` and ``end``
    belong to the kind ``range``.
    """

    span: str
    weight: float
    roles: frozenset[str] | None = None
    after_injection: bool = False
    after_thinking: bool = False
    first: int | None = None
    start: int = 0
    end: int = 0


def _messages(render: Render, layer: Layer) -> Iterator[Span]:
    for turn in render["alignment"]["message_spans"]:
        if layer.roles is None or turn["role"] in layer.roles:
            yield turn["token_start"], turn["token_end"]


def _contents(render: Render, layer: Layer) -> Iterator[Span]:
    """What turns contain; what the model wrote begins with its reasoning."""
    reasoning, roles = _reasoning_starts(render), layer.roles
    for turn in render["alignment"]["message_spans"]:
        if roles is None or turn["role"] in roles:
            start = turn["content_start"]
            if reasoning:
                own = reasoning.get(turn["message_index"], start)
                # Of a message with several turns (template_fit), one of them has the reasoning.
                start = own if turn["token_start"] <= own < start else start
            yield start, turn["content_end"]


def _reasoning_starts(render: Render) -> dict[int, int]:
    """Where the first reasoning of each turn that has any starts, by message index."""
    starts: dict[int, int] = {}
    for span in render["alignment"].get("thinking_spans", ()):
        starts.setdefault(span["message_index"], span["token_start"])
    return starts


def _calls(
    start: Literal["token_start", "name_token_start"],
    end: Literal["token_end", "name_token_end"],
) -> Callable[[Render, Layer], Iterator[Span]]:
    def spans(render: Render, layer: Layer) -> Iterator[Span]:
        for call in render["alignment"]["tool_call_spans"]:
            yield call[start], call[end]

    return spans


def _sequence(render: Render, layer: Layer) -> Iterator[Span]:
    yield 0, render["sequence_length"]


def _bos(render: Render, layer: Layer) -> Iterator[Span]:
    position = render["special_tokens"]["bos_position"]
    if position is not None:
        yield position, position + 1


def _completion(render: Render, layer: Layer) -> Iterator[Span]:
    """The turns of the last assistant message, where the render holds something of them."""
    yield from completion_spans(render)


def _first_action(render: Render, layer: Layer) -> Iterator[Span]:
    """The last assistant turn through the end of its first call; nothing where it makes none."""
    before: list[Span] = []
    for start, end in _completion(render, layer):
        ends = [
            call["token_end"]
            for call in render["alignment"]["tool_call_spans"]
            if start <= call["token_start"] < end
        ]
        if ends:
            yield from (*before, (start, min(ends)))
            return
        before.append((start, end))


def _thinking(render: Render, layer: Layer) -> Iterator[Span]:
    for span in render["alignment"].get("thinking_spans", ()):
        yield span["token_start"], span["token_end"]


def _commitments(render: Render, layer: Layer) -> Iterator[Span]:
    starts = {
        (call["message_index"], call["call_index"]): call["token_start"]
        for call in render["alignment"]["tool_call_spans"]
    }
    for commitment in render["signals"]["action_commitments"]:
        yield (
            starts[commitment["assistant_message_index"], commitment["call_index"]],
            commitment["commitment_token_idx"] + 1,
        )


def _injections(render: Render, layer: Layer) -> Iterator[Span]:
    for span in render["signals"]["injection_spans"]:
        yield span["token_start"], span["token_end"]


def _range(render: Render, layer: Layer) -> Iterator[Span]:
    length = render["sequence_length"]
    yield min(layer.start, length), min(layer.end, length)


SPAN_KINDS: Mapping[str, Callable[[Render, Layer], Iterable[Span]]] = {
    "sequence": _sequence,
    "bos": _bos,
    "message": _messages,
    "content": _contents,
    "completion": _completion,
    "first_action": _first_action,
    "thinking": _thinking,
    "tool_call": _calls("token_start", "token_end"),
    "tool_name": _calls("name_token_start", "name_token_end"),
    "call_prefix": _calls("token_start", "name_token_end"),
    "commitment": _commitments,
    "injection": _injections,
    "range": _range,
}


def layer_spans(render: Render, layer: Layer) -> Iterable[Span]:
    """The token ranges of a layer in one render, in the order of the render's own lists."""
    spans = SPAN_KINDS[layer.span](render, layer)
    if layer.after_injection:
        spans = _after_injection(render, spans)
    if layer.after_thinking:
        spans = _after_thinking(render, spans)
    if layer.first is not None:
        return [(start, min(start + layer.first, end)) for start, end in spans]
    return spans


def _after_injection(render: Render, spans: Iterable[Span]) -> Iterable[Span]:
    injections = render["signals"]["injection_spans"]
    if not injections:
        return ()
    seen = min(span["token_end"] for span in injections)
    return [(max(start, seen), end) for start, end in spans if end > seen]


def _after_thinking(render: Render, spans: Iterable[Span]) -> Iterator[Span]:
    thinking = [
        (span["token_start"], span["token_end"])
        for span in render["alignment"].get("thinking_spans", ())
    ]
    for start, end in spans:
        inside = [last for first, last in thinking if first < end and last > start]
        behind = min(inside, default=start)
        if behind < end:
            yield behind, end


def weight_in_range(value: Any, where: str) -> float:
    """A weight as a float. Raises PolicyError unless it is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise PolicyError(f"{where}: expected a weight in [0, 1], got {value!r}")
    return float(value)


def custom_layers(params: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The layers of the policy ``custom``.

    ``roles``: a list of roles (weight 1) or role -> weight, for what those turns contain;
    ``token_ranges``: a list of ``{start, end, weight}``, half-open token positions of the render,
    cut at its end, painted over the roles in order. Raises ParamsMissing where there is neither,
    PolicyError where one cannot be used.
    """
    if not params:
        raise ParamsMissing(
            "policy custom needs parameters: roles and/or token_ranges, e.g. {'roles':"
            " {'assistant': 1.0}}"
        )
    if unknown := sorted(set(params) - {"roles", "token_ranges"}):
        raise PolicyError(
            f"policy custom: unknown parameter {unknown[0]!r}, expected roles or token_ranges"
        )
    roles = params.get("roles", {})
    if isinstance(roles, list):
        roles = dict.fromkeys(roles, 1.0)
    if not isinstance(roles, Mapping):
        raise PolicyError(f"policy custom: roles: expected a list or an object, got {roles!r}")
    layers = []
    for role, weight in roles.items():
        if role not in ROLES:
            raise PolicyError(
                f"policy custom: unknown role {role!r}, expected one of {', '.join(ROLES)}"
            )
        layers.append(
            Layer(
                "content",
                weight_in_range(weight, f"policy custom: roles.{role}"),
                roles=frozenset((role,)),
            )
        )
    ranges = params.get("token_ranges", [])
    if not isinstance(ranges, list):
        raise PolicyError(
            "policy custom: token_ranges: expected a list of {start, end, weight}, got"
            f" {ranges!r}"
        )
    for index, entry in enumerate(ranges):
        where = f"policy custom: token_ranges[{index}]"
        if not isinstance(entry, Mapping) or not {"start", "end"} <= set(entry) <= {
            "start",
            "end",
            "weight",
        }:
            raise PolicyError(f"{where}: expected {{start, end, weight}}, got {entry!r}")
        start, end = entry["start"], entry["end"]
        if type(start) is not int or type(end) is not int or not 0 <= start < end:
            raise PolicyError(
                f"{where}: expected integers 0 <= start < end, got start={start!r}, end={end!r}"
            )
        layers.append(
            Layer(
                "range",
                weight_in_range(entry.get("weight", 1.0), f"{where}.weight"),
                start=start,
                end=end,
            )
        )
    return tuple(layers)
