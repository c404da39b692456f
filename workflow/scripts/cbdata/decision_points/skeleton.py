"""A cut as a skeleton trace: what the fill stage completes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.decision_points.clean_runs import CleanRuns, TaskKey, calls_of
from cbdata.decision_points.cut import Cut
from cbdata.decision_points.defaults import InjectionDefaults
from cbdata.decision_points.goals import AttackGoals, Goal
from cbdata.ids import canonical_json, trace_id
from cbdata.records import CallPattern, CharSpan, Message, SignalHints, ToolAttack, Trace
from cbdata.rejects import Reject
from cbdata.traces.content_flags import message_flags


@dataclass(frozen=True)
class Knowledge:
    """What skeletons are made with beside the transcripts: the goals of attacks, the environments'
    own texts, and what clean runs do.
    """

    goals: AttackGoals
    defaults: InjectionDefaults
    clean_runs: CleanRuns


@dataclass(frozen=True)
class Parents:
    """The traces that give the same skeleton: their ids and who ran them."""

    ids: frozenset[str]
    pipelines: frozenset[str]


def task_key(trace: Mapping[str, Any]) -> TaskKey:
    """Suite and user task of a trace."""
    return trace["task"]["family"], trace["task"].get("name") or ""


def pipelines(trace: Mapping[str, Any]) -> list[str]:
    """Who ran a trace and its exact copies: the model, with its defence behind a dash."""
    runs = [trace["source"], *trace["links"].get("duplicates", ())]
    named = [
        "-".join(part for part in (run.get("model_id"), run.get("defense")) if part) for run in runs
    ]
    return [name or "unknown" for name in named]


def target_calls(
    goal: Goal, task: TaskKey, messages: Sequence[Message], clean_runs: CleanRuns
) -> list[CallPattern]:
    """The calls that tell a followed injection from honest work: those of the goal but for what the
    user's own task asks for.

    A call that only prepares counts where clean runs of the task are known and none of them makes
    it: without them nobody can say whose step it is.

    Args:
        goal: The attack's goal.
        task: Suite and user task.
        messages: The messages in front of the decision point.
        clean_runs: The solved runs without an attack.

    Raises:
        Reject: The goal has no calls, or none that is not the task's own.
    """
    if not goal.calls:
        raise Reject("goal_without_calls", goal.id)
    asked = "\n".join(message["content"] for message in messages if message["role"] == "user")
    calls = [
        pattern
        for pattern in goal.calls
        if not clean_runs.make(task, pattern) and not _asked_for(pattern, asked)
    ]
    if not calls:
        raise Reject(
            "goal_equals_task", f"{goal.id}: every call of it is a call of {'/'.join(task)} too"
        )
    if clean_runs.known(task):
        calls += [pattern for pattern in goal.preparing_calls if not clean_runs.make(task, pattern)]
    return calls


def _asked_for(pattern: CallPattern, text: str) -> bool:
    """Whether the user names every value that makes a call the attack's."""
    values = [matcher.get("value") for matcher in pattern["arguments"].values()]
    return bool(values) and all(
        isinstance(value, str) and len(value) > 3 and value in text for value in values
    )


def make_skeleton(
    trace: Trace, cut: Cut, parents: Parents, knowledge: Knowledge
) -> tuple[Trace, int]:
    """Make the skeleton of a cut.

    Args:
        trace: The first of the traces that have this prefix.
        cut: The cut.
        parents: All of these traces.
        knowledge: Goals, defaults and clean runs.

    Returns:
        The skeleton, and of how many of its injection spans the environment's own text is known.

    Raises:
        Reject: The goal is not known, or cannot be told from the user's task.
    """
    task = task_key(trace)
    attack: ToolAttack = {}
    spans = list(cut.spans)
    if cut.kind == "injection":
        goal = knowledge.goals.find(task[0], trace["task"].get("variant"))
        if goal is None:
            raise Reject("unknown_goal", f"{task[0]}/{trace['task'].get('variant')}")
        targets = target_calls(goal, task, cut.messages, knowledge.clean_runs)
        spans = [_restored(span, cut.messages, task[0], knowledge.defaults) for span in spans]
        spans = _without_overlaps(spans, cut.spans)
        first = spans[0]
        attack = {
            "simulated_tool": targets[0]["tool"],
            "attack_vector": trace.get("tool_attack", {}).get("attack_vector"),
            "injection_text": cut.messages[first["message_index"]]["content"][
                first["char_start"] : first["char_end"]
            ],
            "goal_id": goal.id,
            "target_calls": targets,
        }
    expected = knowledge.clean_runs.next_calls(task, calls_of(cut.messages))
    if expected is not None:
        attack["expected_calls"] = expected
        attack["expected_tool"] = expected[0]["tool"] if expected else None
    return _trace(trace, cut, parents, attack, spans), sum("default_text" in s for s in spans)


def _restored(
    span: CharSpan, messages: Sequence[Message], suite: str, defaults: InjectionDefaults
) -> CharSpan:
    """A span widened to its slot, with the environment's own text, where the slot is found."""
    content = messages[span["message_index"]]["content"]
    slot = defaults.restore(suite, content, span["char_start"], span["char_end"])
    if slot is None:
        return span
    return {
        "message_index": span["message_index"],
        "char_start": slot.start,
        "char_end": slot.end,
        "default_text": slot.default_text,
    }


def _without_overlaps(spans: list[CharSpan], recorded: Sequence[CharSpan]) -> list[CharSpan]:
    """The spans, or those recorded where widened ones run into each other."""
    for one, other in itertools.pairwise(spans):
        same = one["message_index"] == other["message_index"]
        if same and other["char_start"] < one["char_end"]:
            return list(recorded)
    return spans


def _trace(
    trace: Trace, cut: Cut, parents: Parents, attack: ToolAttack, spans: Sequence[CharSpan]
) -> Trace:
    dataset = trace["source"]["dataset"]
    hints: SignalHints = {
        "injection_char_span": spans[0] if spans else None,
        "raw_format": trace["signal_hints"].get("raw_format"),
    }
    if len(spans) > 1:
        hints["injection_char_spans"] = list(spans)
    if flags := message_flags(cut.messages, canonical_json(cut.messages)):
        hints["content_flags"] = flags
    skeleton: Trace = {
        "id": trace_id(dataset, "skeleton", cut.messages, salt=[*task_key(trace), cut.kind]),
        "completeness": "skeleton",
        "tier": "B1",
        "split": trace["split"],
        "source": {**trace["source"]},
        "task": {**trace["task"]},
        "messages": cut.messages,
        "labels": {
            **trace["labels"],
            "category": "benign",
            "attack_succeeded": False,
            "security_outcome": "unknown",
        },
        "decision_point": {
            "message_index": cut.message_index,
            "source_pipelines": sorted(parents.pipelines),
            "kind": cut.kind,
        },
        "training": {
            "sample_weight": 1.0,
            "mixture": {"class_id": f"{dataset}/skeleton", "stage_tags": []},
        },
        "links": {
            "raw_id": trace["links"].get("raw_id"),
            "parent_trace_ids": sorted(parents.ids),
        },
        "signal_hints": hints,
        "raw_metadata": {"source_fields": {}},
    }
    if "tool_schema_ref" in trace["raw_metadata"]:
        skeleton["raw_metadata"]["tool_schema_ref"] = trace["raw_metadata"]["tool_schema_ref"]
    if "tools" in trace:
        skeleton["tools"] = trace["tools"]
    if attack:
        skeleton["tool_attack"] = attack
    return skeleton
