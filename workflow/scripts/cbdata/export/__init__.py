"""Data sets that a trainer takes as they are: Parquet per split, DS/DR pairs, a data set card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportFiles:
    """The files of a run that an export reads, in the order of the data sets. Those that it does
    not read are empty. ``skeletons`` are those that the run completes.
    """

    traces: tuple[Path, ...] = ()
    renders: tuple[Path, ...] = ()
    lossmasks: tuple[Path, ...] = ()
    skeletons: tuple[Path, ...] = ()
