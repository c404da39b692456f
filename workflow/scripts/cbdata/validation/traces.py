"""Checks of trace_v1 rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from cbdata.lookup import Place, PlaceTable
from cbdata.records import Message, Trace
from cbdata.schemas import all_errors, first_error
from cbdata.traces.facts import message_losses
from cbdata.traces.injections import injection_spans
from cbdata.validation.findings import Findings
from cbdata.validation.leakage import LeakageChecks


@dataclass(frozen=True, slots=True)
class SeenTrace:
    """What later checks need to know of a trace that was checked, so that the traces themselves
    need not stay in memory.
    """

    place: Place
    completeness: str
    category: str
    class_id: str
    split: str
    sample_weight: float
    paired: str | None
    parents: tuple[str, ...]
    prompt_sha256: str | None
    messages: int
    losses: Mapping[int, float]


class SeenTraces:
    """What is known of every trace, by id; ``places`` has where each stands."""

    def __init__(self) -> None:
        self.places = PlaceTable()

    def add(self, name: str, trace: SeenTrace) -> None:
        """Remember a trace."""
        about = (
            trace.completeness,
            trace.category,
            trace.class_id,
            trace.split,
            trace.sample_weight,
            trace.paired,
            trace.parents,
            trace.prompt_sha256,
            trace.messages,
            list(trace.losses.items()),
        )
        self.places.add(name, trace.place, about)

    def get(self, name: str) -> SeenTrace | None:
        """What is known of a trace, or None."""
        found = self.places.find(name)
        return None if found is None else self._seen(*found)

    def items(self) -> Iterator[tuple[str, SeenTrace]]:
        """Id and what is known of every trace, in the order of the files."""
        for name, place, about in self.places.items():
            yield name, self._seen(place, about)

    def __contains__(self, name: str) -> bool:
        return name in self.places

    @staticmethod
    def _seen(place: Place, about: list[Any]) -> SeenTrace:
        completeness, category, class_id, split, sample_weight, paired = about[:6]
        parents, prompt_sha256, messages, losses = about[6:]
        return SeenTrace(
            place,
            completeness,
            category,
            class_id,
            split,
            sample_weight,
            paired,
            tuple(parents),
            prompt_sha256,
            messages,
            dict(losses),
        )


def _call_problem(messages: list[Message]) -> str | None:
    called: set[str] = set()
    for index, message in enumerate(messages):
        for call in message.get("tool_calls", []):
            if call["call_id"] in called:
                return f"message {index}: call id {call['call_id']!r} is there twice"
            called.add(call["call_id"])
        answered = message.get("tool_call_id")
        if answered is not None and answered not in called:
            return f"message {index}: answers call {answered!r}, which no earlier message makes"
    return None


def _span_problem(trace: Trace) -> str | None:
    messages = trace["messages"]
    for span in injection_spans(trace):
        if span["message_index"] >= len(messages):
            return f"injection in message {span['message_index']} of {len(messages)}"
        length = len(messages[span["message_index"]]["content"])
        if not span["char_start"] < span["char_end"] <= length:
            return (
                f"injection [{span['char_start']}, {span['char_end']}) in a message of {length}"
                " characters"
            )
    return None


def check_trace(
    findings: Findings,
    place: Place,
    row: dict[str, Any],
    seen: SeenTraces,
    leakage: LeakageChecks,
) -> None:
    """Check one row of a trace file.

    Args:
        findings: Takes the results.
        place: Where the row stands.
        row: The record.
        seen: What is known of the traces before it, by id; a row that matches the schema is added.
        leakage: Told of every row that matches the schema.
    """
    error = first_error("trace_v1", row)
    if not findings.expect(
        "trace_schema", error is None, place, lambda: all_errors("trace_v1", row)
    ):
        return
    trace = cast("Trace", row)
    name = trace["id"]
    if not findings.expect(
        "trace_id_unique",
        name not in seen,
        place,
        lambda: f"{name} stands at {seen.places.get(name)} already",
    ):
        return
    problem = _call_problem(trace["messages"])
    findings.expect("trace_calls", problem is None, place, lambda: f"{name}: {problem}")
    spans = _span_problem(trace)
    findings.expect("trace_injection_span", spans is None, place, lambda: f"{name}: {spans}")
    roles = [message["role"] for message in trace["messages"]]
    complete = trace["completeness"] == "complete"
    findings.expect(
        "trace_completeness",
        "assistant" in roles if complete else roles[-1:] != ["assistant"],
        place,
        lambda: f"{name}: {trace['completeness']}, with messages by {', '.join(roles[-3:])}",
    )
    labels = trace["labels"]
    harmful, succeeded, present = (
        labels["category"] == "harmful",
        labels["attack_succeeded"],
        labels["attack_present"],
    )
    findings.expect(
        "trace_labels",
        (present or not succeeded) and (not complete or harmful == succeeded),
        place,
        lambda: (
            f"{name}: category {labels['category']}, attack_present {present}, attack_succeeded"
            f" {succeeded}"
        ),
    )
    leakage.add(place, trace)
    links, generation = trace["links"], trace["raw_metadata"].get("generation")
    seen.add(
        name,
        SeenTrace(
            place=place,
            completeness=trace["completeness"],
            category=labels["category"],
            class_id=trace["training"]["mixture"]["class_id"],
            split=trace["split"],
            sample_weight=trace["training"]["sample_weight"],
            paired=links.get("paired_trace_id"),
            parents=tuple(links.get("parent_trace_ids", ())),
            prompt_sha256=generation["prompt_sha256"] if generation else None,
            messages=len(trace["messages"]),
            losses=message_losses(trace["messages"]),
        ),
    )


def check_twins(findings: Findings, traces: SeenTraces) -> None:
    """Check the links between traces, once all of them are known. A twin in no given file is noted,
    not failed.
    """
    for name, trace in traces.items():
        if trace.paired is None:
            continue
        other = traces.get(trace.paired)
        if other is None:
            findings.note("some traces name a twin that is in none of the files")
            continue
        agree = (
            other.paired == name
            and other.parents == trace.parents
            and other.split == trace.split
            and other.category != trace.category
        )
        findings.expect(
            "trace_twins",
            agree,
            trace.place,
            f"{name} and its twin at {other.place} do not agree",
        )
