"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataSet:
    """The files of one data set. ``sweeps`` are further mask files of the same renders, by a label
    such as ``by_policy/full_sequence``.
    """

    name: str
    traces: Path
    renders: Path
    lossmasks: Path
    sweeps: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportInputs:
    """All files of a run.

    - ``skeletons``: the traces that the fill stage completed, a file for each set of them
    - ``stats``, ``rejects``: of every stage
    - ``benchmarks``: Snakemake's benchmark tables; ``efficiency``: reports of the SLURM executor
      plugin (CSV)
    - ``tokenizer``: directory of ``tokenizer.json``; None shows token ids without their text
    - ``attempts``: samples per skeleton and mode that the fill stage was allowed
    - ``schedule``, ``step``: the curriculum of the run, and the step that it took its weights of
    - ``published``: files of published rates (``configs/published_rates``)
    """

    datasets: tuple[DataSet, ...]
    skeletons: tuple[Path, ...] = ()
    stats: tuple[Path, ...] = ()
    rejects: tuple[Path, ...] = ()
    benchmarks: tuple[Path, ...] = ()
    efficiency: tuple[Path, ...] = ()
    tokenizer: Path | None = None
    attempts: int = 1
    schedule: Path | None = None
    step: int = 0
    published: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def find_sweeps(lossmasks: Path) -> dict[str, Path]:
    """Mask files of other policies and steps that stand below the folder of a data set's mask file,
    under the same name.
    """
    folder = lossmasks.parent
    found = sorted(
        path
        for group in ("by_policy", "by_step")
        for path in (folder / group).glob(f"*/{lossmasks.name}")
    )
    return {str(path.parent.relative_to(folder)): path for path in found}
