"""What a call of ``snakemake`` gives a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Run:
    """What a finished command gave."""

    status: int
    output: str


Snakemake = Callable[..., Run]
