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
from typing import Any, cast

import orjson

from cbdata.garbage import rare_collections
from cbdata.json_file import write_json
from cbdata.jsonl import JsonlError, read_records
from cbdata.lossmask.masks import IdsText, SpanError
from cbdata.lossmask.policies import PolicyError
from cbdata.lossmask.reasons import REASONS
from cbdata.lossmask.rows import Masks, lossmask_line, masks_of
from cbdata.lossmask.selection import Chosen, PolicyChoice, Selection
from cbdata.lossmask.settings import LossmaskError, LossmaskSettings, make_selection
from cbdata.progress import Progress
from cbdata.records import Render
from cbdata.rejects import Reject
from cbdata.stage import StageFiles, StageWriter
from cbdata.traces.facts import TraceFacts, TraceReader

logger = logging.getLogger(__name__)


@dataclass
class Target:
    """One lossmask file to make: its three paths, the settings that decide its masks, and the
    largest part of the renders, 0 to 1, that may be rejected.
    """

    files: StageFiles
    selection: Selection
    details: Mapping[str, Any] = field(default_factory=dict)
    max_reject_fraction: float = 1.0


class _Tally:
    """Sums for the stats of one target."""

    def __init__(self) -> None:
        self.tokens = self.trained = self.zero_weight = self.weighted = 0
        self.policies: Counter[str] = Counter()
        self.pooling: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.unsuited: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}

    def add(self, trace: TraceFacts, chosen: Chosen, masks: Masks) -> None:
        policy, weight = chosen.policy, trace.sample_weight * chosen.class_weight
        self.tokens += masks.loss.length
        self.trained += masks.loss.trained
        self.weighted += bool(trace.losses)
        if chosen.pooling is not None:
            self.pooling[f"{chosen.pooling.id}@{chosen.pooling.version}"] += 1
        self.zero_weight += weight == 0
        self.policies[f"{policy.id}@{policy.version}"] += 1
        self.sources[chosen.source] += 1
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
            **({"pooling_policies": dict(sorted(self.pooling.items()))} if self.pooling else {}),
            **({"rows_with_message_losses": self.weighted} if self.weighted else {}),
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
    settings: LossmaskSettings,
    *,
    name: str,
) -> None:
    """Make one lossmask file from a render file and the trace file that it was made of.

    Args:
        renders: A render_v1 file. Its rows must be in the order of the traces; some may be missing.
        traces: The trace_v1 file.
        files: The lossmask_v1 file to make, with its rejects and stats.
        settings: What decides the masks and weights.
        name: The data set's name.

    Raises:
        PolicyError: A policy of the settings, or the registry, cannot be used.
        ScheduleError: The schedule cannot be used.
        UnmatchedRender: A render has no trace in its place.
        LossmaskError: A record names a policy that cannot be used, or has a span outside its
            tokens.
        JsonlError: A line is not a record of its format.
        TooManyRejects: More was rejected than ``settings`` allow; nothing is published.
    """
    selection, details = make_selection(settings)
    target = Target(files, selection, details, settings.reject_limit)
    apply_lossmasks(renders, traces, [target], name=name)


def apply_policies(
    renders: str | Path,
    traces: str | Path,
    files: Mapping[str, StageFiles],
    settings: LossmaskSettings,
    *,
    name: str,
) -> None:
    """Make the files of several policies in one pass over the renders.

    Args:
        renders: As for ``apply_lossmask``, and so are ``traces`` and ``name``.
        traces: See there.
        files: Policy id -> the files to make. Each is what ``apply_lossmask`` makes for that
            policy, byte for byte.
        settings: As there, but for ``policy``, in whose place each of the ids is put.
        name: See there.

    Raises:
        The same as ``apply_lossmask``.
    """
    common, details = make_selection(replace(settings, policy=None))
    targets = [
        Target(paths, replace(common, policy=PolicyChoice(policy)), details)
        for policy, paths in files.items()
    ]
    apply_lossmasks(renders, traces, targets, name=name)


def write_manifest(path: str | Path, name: str, files: Mapping[str, StageFiles]) -> None:
    """Write the stats of every policy of a data set into one JSON file.

    Args:
        path: The file to write.
        name: The data set.
        files: Policy id -> the files that ``apply_policies`` has made.
    """
    made = {policy: orjson.loads(paths.stats.read_bytes()) for policy, paths in files.items()}
    write_json(path, {"name": name, "policies": made})


def apply_lossmasks(
    renders: str | Path, traces: str | Path, targets: Sequence[Target], *, name: str
) -> None:
    """Make the files of every target in one pass over renders and traces; memory does not grow with
    the files.

    Args:
        renders: As for ``apply_lossmask``.
        traces: As there.
        targets: What to make: files, and the selection of rows and policies behind each.
        name: As there.

    Raises:
        The same as ``apply_lossmask``.
    """
    renders = Path(renders)
    shown = f"{renders.parent.name}/{renders.name}"
    with ExitStack() as stack:
        stack.enter_context(rare_collections())
        writers = [
            stack.enter_context(
                StageWriter(
                    "lossmask",
                    name,
                    target.files,
                    REASONS,
                    max_reject_fraction=target.max_reject_fraction,
                )
            )
            for target in targets
        ]
        tallies = [_Tally() for _ in targets]
        progress = Progress(f"lossmask {name}", files=[renders])
        for number, render, trace in _join(renders, traces):
            ids = IdsText(render["input_ids"])
            for target, writer, tally in zip(targets, writers, tallies, strict=True):
                writer.take()
                try:
                    chosen = target.selection.choose(trace)
                    masks = masks_of(render, trace, chosen)
                    line = lossmask_line(render, ids, trace, chosen, masks)
                except Reject as error:
                    raw = {"render_id": render["render_id"], "trace_id": trace.id}
                    writer.reject(error, file=shown, line=number, record_id=trace.id, raw=raw)
                except (PolicyError, SpanError) as error:
                    raise LossmaskError(
                        f"{renders}:{number}: {render['render_id']} of {trace.id}"
                        f" ({traces}:{trace.line}): {error}"
                    ) from error
                except (KeyError, TypeError) as error:
                    raise _not_a_render(renders, number, render, error) from error
                else:
                    tally.add(trace, chosen, masks)
                    writer.emit_bytes(line)
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


def _not_a_render(
    renders: Path, number: int, render: Mapping[str, Any], error: Exception
) -> Exception:
    """What to raise for a render in which something is missing: the error itself where render_v1
    has no objection.
    """
    from cbdata.schemas import all_errors

    wrong = all_errors("render_v1", dict(render))
    return (
        JsonlError(
            renders, number, "a render_v1 record", wrong, "remove the file and run its rule again"
        )
        if wrong
        else error
    )


def _join(renders: Path, traces: str | Path) -> Iterator[tuple[int, Render, TraceFacts]]:
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
            cast("Render", render),
            reader.find(trace_id, f"{renders}:{number}: {render.get('render_id')}"),
        )
