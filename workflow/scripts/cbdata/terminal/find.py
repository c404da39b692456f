"""Finding one trace of a run with its render and its masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cbdata.jsonl import read_records
from cbdata.lossmask.masks import factors_of, make_mask
from cbdata.lossmask.registry import Registry
from cbdata.suggest import did_you_mean
from cbdata.traces.facts import message_losses


class NotFoundError(ValueError):
    """What was asked for is not in the run: says where was looked and what is there."""


@dataclass(frozen=True)
class Shown:
    """A trace with what was made of it; ``mask`` is the loss weight of each token."""

    data: str
    trace: dict[str, Any]
    render: dict[str, Any]
    mask: list[float]
    policy: str


def data_sets(run: Path) -> list[str]:
    """The names of the data sets of a run that have loss masks, sorted."""
    return sorted(path.stem for path in (run / "lossmasks").glob("*.jsonl"))


def _records(path: Path) -> Iterator[dict[str, Any]]:
    for _, record in read_records(path):
        yield record


def _chosen_names(run: Path, data: str | None) -> list[str]:
    names = data_sets(run)
    if not names:
        hint = "run the workflow first, or name its output_base with --run"
        raise NotFoundError(f"{run / 'lossmasks'}: no loss masks there. Hint: {hint}")
    if data is None:
        return names
    if data not in names:
        raise NotFoundError(
            f"--data {data}: no such data set; there are {', '.join(names)}."
            f" Hint: {did_you_mean(data, names)}"
        )
    return [data]


def find(run: Path, wanted: str, data: str | None, policy: str | None, registry: Registry) -> Shown:
    """Find a trace by its id, the beginning of it, or its number.

    Args:
        run: The run's ``output_base``.
        wanted: An id or the beginning of one id alone, or N for the N-th row of ``data`` (from 1).
        data: The data set to look in; all of them if None, the first one for a number.
        policy: The policy whose mask is wanted; None takes the mask as the run wrote it.
        registry: The policies.

    Raises:
        NotFoundError: There is no such trace or data set.
        PolicyError: There is no such policy, or it needs parameters.
    """
    names = _chosen_names(run, data)
    if wanted.isdecimal():
        name, number = names[0], int(wanted)
        masks = _records(run / f"lossmasks/{name}.jsonl")
        mask = next(islice(masks, number - 1, None), None) if number else None
        if mask is None:
            rows = sum(1 for _ in _records(run / f"lossmasks/{name}.jsonl"))
            raise NotFoundError(f"{name} has rows 1 to {rows}, not {number}")
    else:
        name, mask = _by_id(run, names, wanted)
    trace = _one(run / f"traces/{name}.jsonl", "id", mask["trace_id"])
    render = _one(run / f"renders/{name}.jsonl", "render_id", mask["render_id"])
    if policy is None:
        return Shown(name, trace, render, mask["loss_mask"], mask["policy_id"])
    factors = factors_of(
        render,  # type: ignore[arg-type]
        mask.get("thinking_weight", 1.0),
        message_losses(trace["messages"]),
    )
    made = make_mask(render, registry.bind(policy).layers, factors)  # type: ignore[arg-type]
    return Shown(name, trace, render, made.weights(), policy)


def _by_id(run: Path, names: list[str], wanted: str) -> tuple[str, dict[str, Any]]:
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for name in names:
        for mask in _records(run / f"lossmasks/{name}.jsonl"):
            if mask["trace_id"] == wanted:
                return name, mask
            if mask["trace_id"].startswith(wanted):
                found.setdefault(mask["trace_id"], (name, mask))
    if not found:
        hint = "rejects/ says what became of a trace without a mask"
        raise NotFoundError(
            f"{wanted}: no loss mask of such a trace in {', '.join(names)}. Hint: {hint}"
        )
    if len(found) > 1:
        some = ", ".join(sorted(found)[:3])
        raise NotFoundError(f"{wanted}: {len(found)} traces begin so, e.g. {some}")
    return next(iter(found.values()))


def _one(path: Path, key: str, value: str) -> dict[str, Any]:
    for record in _records(path):
        if record[key] == value:
            return record
    hint = "it belongs to another run of the rules; run the workflow again"
    raise NotFoundError(f"{path}: no record with {key} {value}. Hint: {hint}")
