"""The job file: what one fill process is told, that is one shard of every skeleton set of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from cbdata.fill.settings import FillSettings, RuntimeSettings
from cbdata.json_file import write_json
from cbdata.skeleton_sets import stem_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    PartT = TypeVar("PartT", bound=DataclassInstance)

EXECUTOR_JOB = "CB_EXECUTOR_JOB"
"""Environment variable that the rules set in a job that an executor started elsewhere: there, what
the rule asked for is what the job has.
"""


class JobError(ValueError):
    """A job file cannot be used: names the file, the key and what was expected."""


@dataclass(frozen=True, kw_only=True)
class SetFiles:
    """The files of one skeleton set: ``skeletons`` are completed, ``output`` is the shard's file of
    rows that ``merge_fill`` reads, ``progress_dir`` the folder of what all shards have stored.
    """

    skeletons: str
    output: str
    progress_dir: str

    @property
    def stem(self) -> str:
        """The name that the data sets made of it begin with."""
        return stem_of(self.skeletons)


@dataclass(frozen=True, kw_only=True)
class FillJob:
    """One shard of every skeleton set of a run, for one engine, or for ``parts`` of them.

    This is shard ``shard`` of ``shards``, counted from 0, of each of ``sets``. ``log`` is None
    where messages go to stderr alone. ``gpus`` is how many the rule asked an executor for; 0 where
    the job runs on the machine that Snakemake was started on. ``tool_schema`` is for skeletons that
    neither have nor name tools; ``tool_schema_dirs`` are the folders of those that they may name.
    ``engine`` is the engine, counted from 0, whose part of the shard this is; None is all of it.
    """

    sets: Sequence[SetFiles]
    tool_schema: str
    shard: int
    shards: int
    log: str | None
    settings: FillSettings
    runtime: RuntimeSettings
    gpus: int = 0
    tool_schema_dirs: Sequence[str] = ()
    engine: int | None = None

    def __post_init__(self) -> None:
        """A job file has a list where a job that was made here may have a tuple."""
        object.__setattr__(self, "sets", tuple(self.sets))
        object.__setattr__(self, "tool_schema_dirs", tuple(self.tool_schema_dirs))

    @property
    def parts(self) -> int:
        """Into how many parts the shard is divided: 1 unless this job is one of them."""
        return 1 if self.engine is None else self.runtime.engines_per_job

    @property
    def label(self) -> str:
        """The name of the shard, or of the engine's part of it, in file names."""
        if self.engine is None:
            return f"{self.shard}-of-{self.shards}"
        return f"{self.shard}.{self.engine}-of-{self.shards}x{self.parts}"

    @property
    def several_processes(self) -> bool:
        """Whether the job is done by processes that it starts: engines side by side, or one over
        several nodes.
        """
        return self.runtime.nodes_per_engine > 1 or (
            self.engine is None and self.runtime.engines_per_job > 1
        )

    def of_engine(self, engine: int) -> FillJob:
        """The job of one engine of several: its own part of the shard, rows and log."""
        return replace(
            self,
            engine=engine,
            log=self.log and str(Path(self.log).with_suffix(f".engine{engine}.log")),
            sets=[replace(part, output=f"{part.output}.engine{engine}.part") for part in self.sets],
        )

    @property
    def lock_files(self) -> list[Path]:
        """The files whose locks say that a process works on this shard, one for each set, in an
        order that is the same for all jobs: so no two wait for each other.

        Those of a job of several engines are of the same division as its engines' own.
        """
        label = self.label
        if self.engine is None and self.runtime.engines_per_job > 1:
            label = f"{self.shard}.all-of-{self.shards}x{self.runtime.engines_per_job}"
        files = [Path(part.progress_dir) / f"{label}.lock" for part in self.sets]
        return sorted(files, key=os.path.realpath)

    @property
    def job_file(self) -> Path:
        """Where the rule keeps this job for its process."""
        return Path(self.sets[0].progress_dir) / f"{self.label}.job.json"

    def save(self, path: str | Path) -> None:
        """Write the job file that ``load_job`` reads."""
        write_json(path, asdict(self))


def load_job(path: str | Path) -> FillJob:
    """Read a job file. Raises JobError."""
    try:
        data = orjson.loads(Path(path).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise JobError(
            f"{path}: {error}. Hint: give the job file that fill_shard.py writes"
        ) from error
    if isinstance(data, dict):
        sets = data.get("sets")
        if not isinstance(sets, list) or not sets:
            raise JobError(
                f"{path}: sets: expected at least one. Hint: the job file is of another version,"
                " run the rule again"
            )
        data = {
            **data,
            "sets": [_build(SetFiles, each, f"{path}: sets") for each in sets],
            "settings": _build(FillSettings, data.get("settings"), f"{path}: settings"),
            "runtime": _build(RuntimeSettings, data.get("runtime"), f"{path}: runtime"),
        }
    job = _build(FillJob, data, str(path))
    if not 0 <= job.shard < job.shards:
        raise JobError(f"{path}: shard {job.shard} of {job.shards}: expected 0 <= shard < shards")
    return job


def _build(kind: type[PartT], data: Any, where: str) -> PartT:
    if not isinstance(data, dict):
        raise JobError(
            f"{where}: expected an object, got {type(data).__name__}. Hint: fill_shard.py writes"
            " this file"
        )
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if unknown := sorted(set(data) - known):
        raise JobError(
            f"{where}: unknown keys {unknown}. Hint: the job file is of another version, run the"
            " rule again"
        )
    if missing := sorted(needed - set(data)):
        raise JobError(
            f"{where}: keys {missing} are missing. Hint: the job file is of another version, run"
            " the rule again"
        )
    return kind(**data)
