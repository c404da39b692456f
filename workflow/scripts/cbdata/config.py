"""The configuration: one flat mapping, closed, checked before any job is planned, with defaults
from its schema.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from cbdata.paths import SCHEMAS
from cbdata.settings import Settings, settings_from
from cbdata.suggest import did_you_mean

CONFIG_SCHEMA = SCHEMAS / "config.schema.yaml"
PATHS_OR_NAMES = ("tokenizer", "model", "chat_template", "mwcs_schedule")
"""Keys whose values may be paths, and are used as they are where they are not."""


class ConfigError(ValueError):
    """The configuration cannot be used: every problem names the key, the value and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("configuration:" + "".join(f"\n  - {problem}" for problem in problems))
        self.problems = problems


def config_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration, with ``x-seed`` and ``x-reruns`` notes on its keys."""
    schema: dict[str, Any] = yaml.safe_load(CONFIG_SCHEMA.read_text(encoding="utf-8"))
    return schema


def config_defaults() -> dict[str, Any]:
    """The default of every key: the schema is the one place that has them."""
    return {key: spec["default"] for key, spec in config_schema()["properties"].items()}


def default_settings(kind: type[Settings], **changes: Any) -> Settings:
    """A settings class as a configuration makes it in which only ``changes`` are set: for
    commands, tests and benchmarks.
    """
    return settings_from({**config_defaults(), **changes}, kind)


def resolve_config(
    config: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Check a configuration and return it with every default filled in and the three folders
    resolved.

    ``output_base``, ``log_dir`` and ``cache_dir`` that are null become ``$CB_SCRATCH/data``,
    ``$CB_SCRATCH/logs`` and ``$CB_SCRATCH/cache/hf``, with ``scratch`` in the working directory
    where CB_SCRATCH is not set. Environment variables and ``~`` in path values are expanded. Raises
    ConfigError with all problems at once.
    """
    environ = os.environ if environ is None else environ
    schema = config_schema()
    known = schema["properties"]
    config = {key: _from_command_line(value, known.get(key, {})) for key, value in config.items()}
    problems = [_unknown_key(key, config[key], known) for key in config if key not in known]
    validator = Draft202012Validator(schema)
    for error in sorted(
        validator.iter_errors({key: value for key, value in config.items() if key in known}),
        key=lambda e: list(map(str, e.path)),
    ):
        problems.append(_wrong_value(error, known))
    if problems:
        raise ConfigError(problems)
    resolved = {key: config.get(key, spec["default"]) for key, spec in known.items()}
    scratch = environ.get("CB_SCRATCH") or "scratch"
    for key, below in (("output_base", "data"), ("log_dir", "logs"), ("cache_dir", "cache/hf")):
        resolved[key] = expand(resolved[key]) if resolved[key] else f"{scratch}/{below}"
    for key in PATHS_OR_NAMES:
        resolved[key] = expand(resolved[key]) if resolved[key] else resolved[key]
    problems = _cross_field(resolved)
    if problems:
        raise ConfigError(problems)
    return resolved


def expand(path: str) -> str:
    """A path value with environment variables and ``~`` expanded."""
    return os.path.expanduser(os.path.expandvars(path))


def is_path(value: str) -> bool:
    """Whether a trace file was given by path; otherwise it is a name in ``traces/``."""
    return os.sep in value


def find_file(key: str, value: str, root: Path) -> str:
    """The file that a path value means: relative to the working directory, else to the workflow.

    Args:
        key: The configuration's key, for the error.
        value: The path; environment variables and ``~`` are expanded.
        root: The root of the workflow.

    Raises:
        ConfigError: Neither exists.
    """
    path = expand(value)
    candidates = [Path(path), root / path]
    for candidate in candidates:
        if candidate.exists():
            return str(candidate)
    tried = " and ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise ConfigError(
        [
            (
                f"{key}: {value!r} does not exist (tried {tried}). Fix: snakemake --config"
                f" {key}=/path/to/it"
            )
        ]
    )


def trace_sources(config: Mapping[str, Any], output_base: str) -> dict[str, str]:
    """Data set name -> trace file of an ``input_traces`` value: names mean files in ``traces/``,
    paths stand for themselves.

    A name is the file's stem. Raises ConfigError where two entries have the same name or a name
    cannot be a file name.
    """
    value = config["input_traces"]
    entries = (
        [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value or [])
    )
    sources: dict[str, str] = {}
    for entry in filter(None, entries):
        name = Path(entry).name.removesuffix(".jsonl")
        path = expand(entry) if is_path(entry) else f"{output_base}/traces/{name}.jsonl"
        if not name or name.startswith("."):
            raise ConfigError(
                [
                    (
                        f"input_traces: {entry!r} gives no data set name. Fix: name a file such as"
                        " custom.jsonl"
                    )
                ]
            )
        if sources.get(name, path) != path:
            raise ConfigError(
                [
                    (
                        f"input_traces: {sources[name]!r} and {path!r} are both called {name!r}."
                        " Fix: rename one of the files"
                    )
                ]
            )
        sources[name] = path
    return sources


def _from_command_line(value: Any, spec: Mapping[str, Any]) -> Any:
    """What ``--config key=true``, ``key=null`` or ``key={a: 1}`` means: Snakemake hands these over
    as text.
    """
    if not isinstance(value, str) or "type" not in spec:
        return value
    types = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
    written = value.strip()
    is_null = written in ("null", "~", "None") and "null" in types
    is_collection = (written.startswith("{") and "object" in types) or (
        written.startswith("[") and "array" in types
    )
    if "string" in types and not is_null and not is_collection:
        return value
    try:
        return None if is_null else yaml.safe_load(written)
    except yaml.YAMLError:
        return value  # the schema says what is wrong with it


def _unknown_key(key: str, value: Any, known: Mapping[str, Any]) -> str:
    old_name = str(key).lower() == "output_dir"
    hint = "did you mean output_base?" if old_name else did_you_mean(str(key), known)
    return f"{key}: unknown key (value {value!r}); {hint or 'see config/README.md for all keys'}"


def _wrong_value(error: ValidationError, known: Mapping[str, Any]) -> str:
    key = str(error.absolute_path[0]) if error.absolute_path else "(top level)"
    spec = known.get(key, {})
    allowed = spec.get("enum") or spec.get("type")
    allowed = ", ".join(map(str, allowed)) if isinstance(allowed, list) else allowed
    return (
        f"{key}: {error.instance!r} is not allowed ({error.message}). Fix: give {allowed}; default"
        f" {spec.get('default')!r}"
    )


def _cross_field(config: Mapping[str, Any]) -> list[str]:
    problems = []
    split = config["split"]
    if isinstance(split, dict) and abs(sum(split.values()) - 1) > 1e-9:
        problems.append(
            f"split: the fractions {split!r} add up to {sum(split.values()):g}. Fix: make them add"
            " up to 1"
        )
    if config["max_model_len"] is not None and config["max_tokens"] >= config["max_model_len"]:
        problems.append(
            f"max_tokens: {config['max_tokens']} leaves no room for a prompt in"
            f" max_model_len={config['max_model_len']}. Fix: lower max_tokens or raise"
            " max_model_len"
        )
    if config["mwcs_step"] is not None and not config["mwcs_schedule"]:
        problems.append(
            f"mwcs_step: {config['mwcs_step']} without a schedule. Fix: set mwcs_schedule too, or"
            " leave mwcs_step out"
        )
    if config["force_llama"] and config["chat_template"] not in (None, "auto"):
        problems.append(
            f"chat_template: {config['chat_template']!r} together with force_llama. Fix: give one"
            " of the two"
        )
    return problems
