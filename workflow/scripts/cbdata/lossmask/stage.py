"""The lossmask stage: renders joined with their traces to lossmask_v1, for one policy setting or
several in one pass.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from cbdata.ids import derived_id
from cbdata.jsonl import JsonlError, read_records, write_atomic
from cbdata.lossmask.masks import IdsText, SpanError, make_mask
from cbdata.lossmask.policies import ParamsMissing, PolicyError
from cbdata.lossmask.reasons import REASONS
from cbdata.lossmask.registry import REGISTRY, Policy, load_registry
from cbdata.lossmask.selection import Choice, Selection, SkeletonNotAllowed
from cbdata.progress import Progress
from cbdata.rejects import Reject
from cbdata.stage import StageFiles, StageWriter
from cbdata.traces.facts import TraceFacts, TraceReader

logger = logging.getLogger(__name__)


class LossmaskError(ValueError):
    """A record makes the stage stop: names both files, the line, the record and a hint."""


@dataclass
class Target:
    """One lossmask file to make: its three paths and the settings that decide its masks."""

    files: StageFiles
    selection: Selection
    details: Mapping[str, Any] = field(default_factory=dict)


class _Tally:
    """Sums for the stats of one target."""

    def __init__(self) -> None:
        self.tokens = self.trained = self.zero_weight = 0
        self.policies: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.unsuited: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}

    def add(
        self,
        trace: TraceFacts,
        policy: Policy,
        source: str,
        weight: float,
        total: int,
        trained: int,
    ) -> None:
        self.tokens += total
        self.trained += trained
        self.zero_weight += weight == 0
        self.policies[f"{policy.id}@{policy.version}"] += 1
        self.sources[source] += 1
        if trace.category not in policy.suits:
            self.unsuited[f"{policy.id} on {trace.category}"] += 1
        name = trace.class_id
        self.rows[name] += 1
        self.before[name] = self.before.get(name, 0.0) + trace.sample_weight
        self.after[name] = self.after.get(name, 0.0) + weight

    def details(self) -> dict[str, Any]:
        before, after = sum(self.before.values()), sum(self.after.values())
        return {
            "tokens": self.tokens,
            "trained_tokens": self.trained,
            "zero_weight_rows": self.zero_weight,
            "policies": dict(sorted(self.policies.items())),
            "policy_sources": dict(sorted(self.sources.items())),
            "policy_unsuited_to_category": dict(sorted(self.unsuited.items())),
            "classes": {
                name: {
                    "rows": rows,
                    "weight_before": self.before[name],
                    "weight_after": self.after[name],
                    "share_before": self.before[name] / before if before else 0.0,
                    "share_after": self.after[name] / after if after else 0.0,
                }
                for name, rows in sorted(self.rows.items())
            },
        }


def apply_lossmask(
    renders: str | Path,
    traces: str | Path,
    files: StageFiles,
    *,
    name: str,
    policy: str | Mapping[str, Any] | None = None,
    mwcs_schedule: str | Path | None = None,
    mwcs_step: int | None = None,
    mixture: str | Path | None = None,
    allow_skeleton: bool = False,
    skeleton_policy: str = "full_sequence",
    registry: str | Path = REGISTRY,
) -> None:
    """Make ``out`` (lossmask_v1), ``rejects`` and ``stats`` from a render file and the trace file
    it was made of.

    The renders must be an ordered subsequence of the traces. ``policy`` is the configuration's, an
    id or ``{policy, params}``. ``mwcs_schedule`` is a schedule file evaluated at ``mwcs_step``
    (None is step 0); ``mixture`` is then the class count file over all input traces
    (``cbdata.mwcs.mixture``), against which the schedule's classes are checked. Raises PolicyError,
    ScheduleError, UnmatchedRender, LossmaskError and JsonlError.
    """
    selection, details = make_selection(
        policy=policy,
        mwcs_schedule=mwcs_schedule,
        mwcs_step=mwcs_step,
        mixture=mixture,
        allow_skeleton=allow_skeleton,
        skeleton_policy=skeleton_policy,
        registry=registry,
    )
    apply_lossmasks(renders, traces, name, [Target(files, selection, details)])


def apply_policies(
    renders: str | Path,
    traces: str | Path,
    files: Mapping[str, StageFiles],
    *,
    name: str,
    manifest: str | Path | None = None,
    **settings: Any,
) -> None:
    """Make the files of several policies in one pass over the renders.

    ``files`` maps a policy id to its three files; ``settings`` are those of
    ``make_selection`` but the policy. Each file is what ``apply_lossmask`` makes for that policy,
    byte for byte. ``manifest``, where given, gets the stats of every policy as JSON.
    """
    common, details = make_selection(policy=None, **settings)
    targets = [
        Target(paths, replace(common, policy=Choice(policy)), details)
        for policy, paths in files.items()
    ]
    apply_lossmasks(renders, traces, name, targets)
    if manifest is None:
        return
    made = {policy: orjson.loads(paths.stats.read_bytes()) for policy, paths in files.items()}
    write_atomic(
        manifest,
        orjson.dumps(
            {"name": name, "policies": made}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        ),
    )


def make_selection(
    *,
    policy: str | Mapping[str, Any] | None,
    mwcs_schedule: str | Path | None,
    mwcs_step: int | None,
    mixture: str | Path | None,
    allow_skeleton: bool,
    skeleton_policy: str,
    registry: str | Path = REGISTRY,
) -> tuple[Selection, dict[str, Any]]:
    """The settings of a target and what its stats say about the schedule; parameters as in
    ``apply_lossmask``.
    """
    choice = None if policy is None else Choice.of(policy)
    if mwcs_schedule is None:
        return (
            Selection(
                load_registry(registry),
                choice,
                allow_skeleton=allow_skeleton,
                skeleton_policy=skeleton_policy,
            ),
            {},
        )
    from cbdata.mwcs.mixture import mixture_shares, read_mixture
    from cbdata.mwcs.schedule import load_schedule

    if mixture is None:
        raise LossmaskError(
            f"schedule {mwcs_schedule}: its classes cannot be checked without the class counts of"
            " the input traces"
        )
    schedule, classes = load_schedule(mwcs_schedule), read_mixture(mixture)
    schedule.check_classes(classes)
    step = mwcs_step or 0
    weights = schedule.weights(step)
    selection = Selection(
        load_registry(registry),
        choice,
        {
            class_id: Choice.of(override)
            for class_id, override in schedule.lmp_overrides(step).items()
        },
        weights,
        schedule.default_weight,
        allow_skeleton,
        skeleton_policy,
    )
    shares = mixture_shares(classes, weights, schedule.default_weight)
    return selection, {
        "mwcs": {
            "schedule": schedule.name,
            "step": step,
            "phase": schedule.phase_at(step),
            "mixture": shares,
        }
    }


def apply_lossmasks(
    renders: str | Path, traces: str | Path, name: str, targets: Sequence[Target]
) -> None:
    """Make the files of every target in one pass over renders and traces; memory does not grow with
    the files.
    """
    renders = Path(renders)
    shown = f"{renders.parent.name}/{renders.name}"
    with ExitStack() as stack:
        writers = [
            stack.enter_context(StageWriter("lossmask", name, target.files, REASONS))
            for target in targets
        ]
        tallies = [_Tally() for _ in targets]
        progress = Progress(f"lossmask {name}")
        for number, render, trace in _join(renders, traces):
            ids = IdsText(render["input_ids"])
            for target, writer, tally in zip(targets, writers, tallies, strict=True):
                writer.take()
                try:
                    policy, source = target.selection.choose(trace)
                    row = _row(
                        render,
                        ids,
                        trace,
                        policy,
                        source,
                        target.selection.class_weight(trace.class_id),
                        tally,
                    )
                except SkeletonNotAllowed as error:
                    why = Reject("skeleton", str(error))
                except ParamsMissing as error:
                    why = Reject("policy_params_missing", str(error))
                except _EmptyMask as error:
                    why = Reject("empty_mask", str(error))
                except (PolicyError, SpanError) as error:
                    raise LossmaskError(
                        f"{renders}:{number}: {render['render_id']} of {trace.id}"
                        f" ({traces}:{trace.line}): {error}"
                    ) from error
                except (KeyError, TypeError) as error:
                    raise _not_a_render(renders, number, render, error) from error
                else:
                    writer.emit_bytes(row)
                    continue
                raw = {"render_id": render["render_id"], "trace_id": trace.id}
                writer.reject(why, file=shown, line=number, record_id=trace.id, raw=raw)
            progress.add()
        progress.finish()
        for target, writer, tally in zip(targets, writers, tallies, strict=True):
            writer.details = {**tally.details(), **target.details}
            for what, count in tally.unsuited.items():
                logger.warning(
                    "%s: %d rows with %s, which its registry entry does not list under suits",
                    name,
                    count,
                    what,
                )


class _EmptyMask(ValueError):
    """A policy trains no token of a render."""


def _not_a_render(
    renders: Path, number: int, render: Mapping[str, Any], error: Exception
) -> Exception:
    """What to raise for a render in which something is missing: the error itself where render_v1
    has no objection.
    """
    from cbdata.schemas import first_error

    wrong = first_error("render_v1", dict(render))
    return (
        error
        if wrong is None
        else JsonlError(
            renders, number, "a render_v1 record", wrong, "remove the file and run its rule again"
        )
    )


def _join(renders: Path, traces: str | Path) -> Iterator[tuple[int, dict[str, Any], TraceFacts]]:
    reader = TraceReader(traces)
    for number, render in read_records(renders):
        try:
            trace_id, length, tokens = (
                render["trace_id"],
                render["sequence_length"],
                len(render["input_ids"]),
            )
        except (KeyError, TypeError) as error:
            raise _not_a_render(renders, number, render, error) from error
        if length != tokens:
            raise JsonlError(
                renders,
                number,
                f"{length} input_ids (sequence_length)",
                str(tokens),
                "remove the file and run its rule again",
            )
        yield (
            number,
            render,
            reader.find(trace_id, f"{renders}:{number}: {render.get('render_id')}"),
        )


def _row(
    render: Mapping[str, Any],
    ids: IdsText,
    trace: TraceFacts,
    policy: Policy,
    source: str,
    class_weight: float,
    tally: _Tally,
) -> bytes:
    """One lossmask_v1 line. Key order is the schema's; the two arrays are spliced in as text."""
    mask = make_mask(render, policy.layers)
    if not mask.trained and not policy.allow_empty:
        cut = ", which was cut at max_length" if render["render_options"]["truncated"] else ""
        raise _EmptyMask(
            f"policy {policy.id} trains no token of this render{cut}; it takes tokens from:"
            f" {policy.needs}"
        )
    weight = trace.sample_weight * class_weight
    tally.add(trace, policy, source, weight, mask.length, mask.trained)
    head = {
        "lossmask_id": derived_id(
            "lossmask",
            render["render_id"],
            policy.id,
            policy.version,
            policy.params,
            trace.sample_weight,
            class_weight,
        ),
        "render_id": render["render_id"],
        "trace_id": trace.id,
        "policy_id": policy.id,
        "policy_version": policy.version,
        "policy_params": policy.params,
        "policy_source": source,
    }
    tail = {
        "sample_weight": weight,
        "class_weight": class_weight,
        "zero_weight": weight == 0,
        "stats": {
            "total_tokens": mask.length,
            "masked_tokens": mask.length - mask.trained,
            "unmasked_tokens": mask.trained,
            "mask_ratio": (mask.length - mask.trained) / mask.length if mask.length else 0.0,
        },
        "category": trace.category,
        "class_id": trace.class_id,
        "split": trace.split,
        "pair_id": trace.pair_id,
    }
    return b'%b,"loss_mask":%b,"labels":%b,%b\n' % (
        orjson.dumps(head)[:-1],
        mask.weights_json(),
        mask.labels_json(ids),
        orjson.dumps(tail)[1:],
    )
