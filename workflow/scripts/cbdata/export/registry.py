"""The exports: one line each, from which rules and targets follow.

An export is a module of ``cbdata/export`` with a function ``write`` (``Writer``), and an entry in
``EXPORTS``. This module imports none of them: a rule's digest has the code of its own export alone,
so a change of one export does not run the others again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from cbdata.export import ExportFiles


class Writer(Protocol):
    """What ``write`` of an export's module looks like."""

    def __call__(
        self, files: ExportFiles, outputs: Mapping[str, Path], options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Write the export.

        Args:
            files: What the export reads.
            outputs: Where each of its outputs goes, by name.
            options: The values of the config keys that it asks for.

        Returns:
            What was written, as counts for the log.

        Raises:
            ExportError: The files do not fit together.
        """


@dataclass(frozen=True)
class Export:
    """A form of the data that some trainer reads.

    - ``name``: in the rule ``export_{name}``
    - ``module``: the module's name in ``cbdata/export``
    - ``log``: the name of the rule's log and benchmark file
    - ``message``: what the rule says that it does
    - ``reads``: the files that it is made from
    - ``outputs``: paths below ``export/`` by name; a slash at the end means a folder. One called
      ``card`` is shown in Snakemake's report as the data set card
    - ``options``: the config keys that decide what is written
    - ``by_request``: made only where it is asked for by name, not by the target ``export``
    - ``mem_mb``, ``runtime``: megabytes and minutes of a first attempt
    """

    name: str
    module: str
    log: str
    message: str
    reads: tuple[Literal["traces", "renders", "lossmasks", "skeletons"], ...]
    outputs: Mapping[str, str]
    options: tuple[str, ...] = ()
    by_request: bool = False
    mem_mb: int = 2000
    runtime: int = 60

    @property
    def dotted(self) -> str:
        """The dotted name of the module with ``write``."""
        # Joined, because the code digest would take an f-string for an import of every export.
        return ".".join(("cbdata", "export", self.module))


EXPORTS: tuple[Export, ...] = (
    Export(
        name="parquet",
        module="dataset",
        log="export",
        message="Write the training rows as Parquet, one file a split, with a data set card.",
        reads=("traces", "renders", "lossmasks"),
        outputs={
            "data": "data/",
            "harmful": "harmful/",
            "benign": "benign/",
            "manifest": "manifest.json",
            "card": "README.md",
        },
        options=("export_weights", "tokenizer", "cache_dir"),
    ),
    Export(
        name="pairs",
        module="pairs",
        log="pairs",
        message="Write the harmful and the benign completion of each skeleton side by side.",
        reads=("traces", "renders", "lossmasks"),
        outputs={"pairs": "pairs/", "counts": "pairs.json"},
    ),
    # The form that the original circuit-breaker code reads.
    Export(
        name="prompt_output",
        module="prompt_output",
        log="prompt_output",
        message="Write plain prompt and output pairs of the single-turn traces.",
        reads=("traces",),
        outputs={
            "harmful": "prompt_output/harmful.json",
            "benign": "prompt_output/benign.json",
            "train": "prompt_output/circuit_breakers_train.json",
            "val": "prompt_output/circuit_breakers_val.json",
            "counts": "prompt_output/counts.json",
        },
        by_request=True,
        mem_mb=1000,
        runtime=30,
    ),
    Export(
        name="seed_v1",
        module="seed_v1",
        log="seed_v1",
        message="Write files by category in the fields of the first trace_v1, with their pairs.",
        reads=("traces", "renders", "lossmasks"),
        outputs={"rows": "seed_v1/", "counts": "seed_v1.json"},
        by_request=True,
    ),
    Export(
        name="triplets",
        module="triplets",
        log="triplets",
        message="Write harmful, benign and anchor ids of each pair with their prefix lengths.",
        reads=("traces", "renders", "lossmasks"),
        outputs={"rows": "triplets/", "counts": "triplets.json"},
        by_request=True,
    ),
    Export(
        name="next_tool_prediction",
        module="next_tool_prediction",
        log="next_tool_prediction",
        message="Write conversations up to a call, with the calls that are right and wrong there.",
        reads=("traces", "skeletons"),
        outputs={"rows": "next_tool_prediction/", "counts": "next_tool_prediction.json"},
        options=("tool_schema", "tool_schema_dirs"),
        by_request=True,
        mem_mb=1000,
        runtime=30,
    ),
)
