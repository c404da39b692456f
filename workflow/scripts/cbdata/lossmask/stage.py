"""The lossmask stage: renders joined with their traces to lossmask_v1, for one policy setting or
several in one pass.
"""

from __future__ import annotations

import logging
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
from cbdata.lossmask.rows import lossmask_line, masks_of
from cbdata.lossmask.selection import PolicyChoice, Selection
from cbdata.lossmask.settings import LossmaskError, LossmaskSettings, make_selection
from cbdata.lossmask.tally import Tally
from cbdata.parts import WHOLE, Part
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


def apply_lossmask(
    renders: str | Path,
    traces: str | Path,
    files: StageFiles,
    settings: LossmaskSettings,
    *,
    name: str,
    part: Part = WHOLE,
) -> None:
    """Make one lossmask file from a render file and the trace file that it was made of.

    Args:
        renders: A render_v1 file. Its rows must be in the order of the traces; some may be missing.
        traces: The trace_v1 file.
        files: The lossmask_v1 file to make, with its rejects and stats.
        settings: What decides the masks and weights.
        name: The data set's name.
        part: The part of the render file to read. The files are then parts too, which
            ``merge_lossmasks`` puts together.

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
    # What is rejected of a file is judged when all its parts are there.
    limit = settings.reject_limit if part.is_whole else 1.0
    target = Target(files, selection, details, limit)
    apply_lossmasks(renders, traces, [target], name=name, part=part)


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
    renders: str | Path,
    traces: str | Path,
    targets: Sequence[Target],
    *,
    name: str,
    part: Part = WHOLE,
) -> None:
    """Make the files of every target in one pass over renders and traces; memory does not grow with
    the files.

    Args:
        renders: As for ``apply_lossmask``.
        traces: As there.
        targets: What to make: files, and the selection of rows and policies behind each.
        name: As there.
        part: As there.

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
        tallies = [Tally() for _ in targets]
        progress = Progress(f"lossmask {name}", files=[renders] if part.is_whole else ())
        for number, render, trace in _join(renders, traces, part):
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
            if part.is_whole:
                writer.details = {**tally.details(), **target.details}
                warn_of_unsuited(name, tally)
            else:
                writer.details = {
                    "tally": tally.packed(),
                    "settings": dict(target.details),
                    "file_bytes": Path(renders).stat().st_size,
                }


def warn_of_unsuited(name: str, tally: Tally) -> None:
    """Say which policies were applied to categories that they are not made for.

    Args:
        name: The data set.
        tally: Its sums.
    """
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


def _join(
    renders: Path, traces: str | Path, part: Part
) -> Iterator[tuple[int, Render, TraceFacts]]:
    reader = TraceReader(traces)
    for number, render in read_records(renders, part):
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
