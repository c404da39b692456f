"""What one fill job is told: the settings that decide its rows, those that only decide how fast it
runs, and its files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import orjson

from cbdata.ids import canonical_json
from cbdata.jsonl import write_atomic

FILL_VERSION = "1"
"""Raised by hand when the fill stage would give other rows for the same settings: a rule parameter
in place of a code digest, so that a refactoring does not cost GPU hours.
"""
FILL_BEHAVIOUR = {
    "judge": "82fb108d197968df",
    "prompts": "2c62867c5a2dca87",
    "requests": "6ef0483e23b3cd40",
    "rows": "cf51c34094d331b7",
}
"""Digests of what the stage does with fixed inputs in this version. A test compares them, says when
the version must be raised, and prints the new ones.
"""

Mode = Literal["ds", "dr"]


class JobError(ValueError):
    """A job file cannot be used: names the file, the key and what was expected."""


@dataclass(frozen=True)
class FillSettings:
    """The settings that decide the rows; keys and meanings are those of the configuration."""

    mode: str = "both"
    model: str = ""
    model_revision: str | None = None
    use_vllm: bool = True
    temperature_ds: float = 0.7
    temperature_dr: float = 0.3
    top_p: float = 1.0
    max_tokens: int = 256
    limit: int | None = None
    seed: int = 0
    max_model_len: int | None = None
    attempts: int = 1
    constrain_tool_calls: bool = False
    dr_context: str = "removed"
    ds_system_suffix: str = ""
    dr_system_suffix: str = ""
    ds_criterion: str = "simulated_tool"
    strict_arguments: bool = False
    dtype: str = "auto"
    chat_template: str | None = None
    force_llama: bool = False
    control_tokens: str = "escape"
    template_date: str = "26 Jul 2024"

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes to generate, DS first."""
        return ("ds", "dr") if self.mode == "both" else (self.mode,)  # type: ignore[return-value]

    def temperature(self, mode: Mode) -> float:
        """Sampling temperature of a mode."""
        return self.temperature_ds if mode == "ds" else self.temperature_dr

    def system_suffix(self, mode: Mode) -> str:
        """What is appended to the system prompt of a mode."""
        return self.ds_system_suffix if mode == "ds" else self.dr_system_suffix


@dataclass(frozen=True)
class RuntimeSettings:
    """The settings that a result does not depend on."""

    tensor_parallel: int = 1
    batch_size: int = 32
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False
    offline: bool = True
    cache_dir: str | None = None


@dataclass(frozen=True)
class FillJob:
    """One shard of one skeleton file: shard ``shard`` of ``shards``, counted from 0."""

    skeletons: str
    tool_schema: str
    output: str
    progress_dir: str
    shard: int
    shards: int
    log: str | None
    settings: FillSettings
    runtime: RuntimeSettings

    def save(self, path: str | Path) -> None:
        """Write the job file that ``load_job`` reads."""
        write_atomic(
            path, orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )


def _build(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise JobError(
            f"{where}: expected an object, got {type(data).__name__}. Hint: fill_shard.py writes"
            " this file"
        )
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(data) - known):
        raise JobError(
            f"{where}: unknown keys {unknown}. Hint: the job file is of another version, run the"
            " rule again"
        )
    try:
        return kind(**data)
    except TypeError as error:
        raise JobError(f"{where}: {error}. Hint: fill_shard.py writes this file") from error


def load_job(path: str | Path) -> FillJob:
    """Read a job file. Raises JobError."""
    try:
        data = orjson.loads(Path(path).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise JobError(
            f"{path}: {error}. Hint: give the job file that fill_shard.py writes"
        ) from error
    if isinstance(data, dict):
        data = {
            **data,
            "settings": _build(FillSettings, data.get("settings"), f"{path}: settings"),
            "runtime": _build(RuntimeSettings, data.get("runtime"), f"{path}: runtime"),
        }
    job = _build(FillJob, data, str(path))
    if not 0 <= job.shard < job.shards:
        raise JobError(f"{path}: shard {job.shard} of {job.shards}: expected 0 <= shard < shards")
    return job


def settings_from(values: dict[str, Any], kind: type) -> Any:
    """The part of a larger mapping (the configuration, a rule's params) that a settings class has
    fields for.
    """
    return kind(
        **{field.name: values[field.name] for field in fields(kind) if field.name in values}
    )


def semantic_params(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration keys that the rows depend on, for a rule's ``params``."""
    return {field.name: config[field.name] for field in fields(FillSettings)}


def describe(settings: FillSettings) -> str:
    """The settings as one line of JSON, for the log."""
    return canonical_json(asdict(settings)).decode()
