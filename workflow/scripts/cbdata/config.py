"""The configuration: one flat mapping, closed, checked before any job is planned, with defaults
from its schema.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from cbdata.addresses import without_secrets
from cbdata.config_words import typed_value
from cbdata.paths import ROOT, SCHEMAS
from cbdata.settings import Settings, settings_from
from cbdata.suggest import did_you_mean

CONFIG_SCHEMA = SCHEMAS / "config.schema.yaml"
PATHS_OR_NAMES = ("tokenizer", "model", "chat_template", "mwcs_schedule")
"""Keys whose values may be paths, and are used as they are where they are not."""

NAME = r"[^/,'\"`$%\\\x7b\x7d\x00-\x1f\x7f]+"
"""What a data set, policy or curriculum may be called (a regular expression): everything but what
the command of a job on a cluster, or a file pattern of Snakemake or SLURM, would take for something
else.
"""


class ConfigError(ValueError):
    """The configuration cannot be used: every problem names the key, the value and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("configuration:" + "".join(f"\n  - {problem}" for problem in problems))
        self.problems = problems


def config_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration, with ``x-seed`` and ``x-reruns`` notes on its keys."""
    # libyaml's reader, a tenth of the time, where PyYAML was built with it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = CONFIG_SCHEMA.read_text(encoding="utf-8")
    schema: dict[str, Any] = yaml.load(text, loader)
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
    resolved. Texts of keys that are no texts are read by the key's type (``cbdata.config_words``).

    ``output_base``, ``log_dir`` and ``cache_dir`` that are null become ``$CB_SCRATCH/data``,
    ``$CB_SCRATCH/logs`` and ``$CB_SCRATCH/cache/hf``, with ``scratch`` in the working directory
    where CB_SCRATCH is not set. Environment variables and ``~`` in path values are expanded. A
    model, tokenizer or template that is a folder or file of the checkout, and none of the working
    directory, becomes its whole path. Raises ConfigError with all problems at once.
    """
    environ = os.environ if environ is None else environ
    schema = config_schema()
    known = schema["properties"]
    problems = [_unknown_key(key, config[key], known) for key in config if key not in known]
    config = {key: value for key, value in config.items() if key in known}
    for key, value in config.items():
        try:
            config[key] = typed_value(value, known[key])
        except ValueError as why:
            problems.append(f"{key}: {value!r} cannot be read: {why}")
        if not _finite(config[key]):
            problems.append(f"{key}: {value!r} is no finite number")
    validator = Draft202012Validator(schema)
    for error in sorted(
        validator.iter_errors(config),
        key=lambda e: list(map(str, e.path)),
    ):
        problems.append(_wrong_value(error, known))
    if problems:
        raise ConfigError(problems)
    resolved = {key: config.get(key, spec["default"]) for key, spec in known.items()}
    resolved["max_reject_fraction"] = _for_every_stage(
        resolved["max_reject_fraction"], known["max_reject_fraction"]["default"]
    )
    scratch = environ.get("CB_SCRATCH") or "scratch"
    for key, below in (("output_base", "data"), ("log_dir", "logs"), ("cache_dir", "cache/hf")):
        resolved[key] = expand(resolved[key] or f"{scratch}/{below}")
        if resolved[key] == ".":
            resolved[key] = os.getcwd()
    for key in PATHS_OR_NAMES:
        resolved[key] = resolved[key] and _in_checkout(expand(resolved[key]))
    problems = _cross_field(resolved)
    for key in ("output_base", "log_dir"):
        problems += path_problems(key, resolved[key])
    if problems:
        raise ConfigError(problems)
    return resolved


def _for_every_stage(
    value: float | Mapping[str, float], defaults: Mapping[str, float]
) -> dict[str, float]:
    """The value of each stage, of a key that may be one number for all of them."""
    given = value if isinstance(value, Mapping) else dict.fromkeys(defaults, value)
    return {**defaults, **given}


def config_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """The user's own configuration file: ``$CB_CONFIG``, else ``config/config.yaml`` in the working
    directory, None where neither is there. Raises ConfigError where ``$CB_CONFIG`` names no file.
    """
    named = (os.environ if environ is None else environ).get("CB_CONFIG")
    path = Path(named or "config/config.yaml")
    if named and not path.is_file():
        raise ConfigError([f"CB_CONFIG: {named!r} is no file. Fix: name one, or unset it"])
    return path if path.is_file() else None


def expand(path: str) -> str:
    """A path value with environment variables and ``~`` expanded, without the ``./``, ``//`` and
    last ``/`` that make one path look like another.
    """
    tidy = str(Path(os.path.expanduser(os.path.expandvars(path))))
    return "/" + tidy.lstrip("/") if tidy.startswith("/") else tidy


def _in_checkout(value: str) -> str:
    elsewhere = not Path(value).exists() and (ROOT / value).exists()
    return str(ROOT / value) if elsewhere else value


def path_problems(key: str, path: str) -> list[str]:
    """What is wrong with a path that Snakemake is given as it stands: it would take braces for a
    wildcard, and cannot do with line breaks or space at an end.
    """
    if re.search(r"[{}\x00-\x1f\x7f]|^\s|\s$", path):
        return [
            (
                f"{key}: {path!r} holds a brace or control character, or has space at an end, which"
                " Snakemake cannot have in a path. Fix: rename it"
            )
        ]
    return []


def name_problems(key: str, name: str) -> list[str]:
    """What is wrong with the name of a data set, policy or curriculum: see ``NAME``; and Snakemake
    escapes what is not printable when it writes a job's command.
    """
    if re.fullmatch(NAME, name) and name.isprintable():
        return []
    return [
        (
            f"{key}: {name!r} cannot name a data set, policy or curriculum: it holds a character"
            " that jobs on a cluster cannot be given (one of / , ' \" ` $ % \\ { }, or one that is"
            " not printable). Fix: rename the file"
        )
    ]


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
    # Every key of a raw data set's path ends so, and may be null.
    without = f", or {key}=null to leave this source out" if key.endswith("_path") else ""
    raise ConfigError(
        [
            (
                f"{key}: {value!r} does not exist (tried {tried}). Fix: snakemake --config"
                f" {key}=/path/to/it{without}"
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
        if problems := name_problems("input_traces", name) + path_problems("input_traces", path):
            raise ConfigError(problems)
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


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _unknown_key(key: str, value: Any, known: Mapping[str, Any]) -> str:
    old_name = str(key).lower() == "output_dir"
    hint = "did you mean output_base?" if old_name else did_you_mean(str(key), known)
    shown = without_secrets(repr(value))
    return f"{key}: unknown key (value {shown}); {hint or 'see config/README.md for all keys'}"


def _wrong_value(error: ValidationError, known: Mapping[str, Any]) -> str:
    key, *inside = error.absolute_path or ["(top level)"]
    spec = known.get(str(key), {})
    types = spec.get("type", ())
    types = [types] if isinstance(types, str) else types
    allowed = ", ".join(map(str, spec["enum"])) if "enum" in spec else " or ".join(types)
    structured = "enum" not in spec and not {"object", "array"}.isdisjoint(types)
    place = "".join(f"[{part!r}]" for part in inside)
    # The types alone do not say what a list or a mapping holds: the description does.
    meaning = f". {key}: {spec['description']}" if structured and "description" in spec else ""
    # Of a key with a list of words the message would only say the list twice.
    why = "" if "enum" in spec else f" ({error.message})"
    wrong = without_secrets(f"{error.instance!r} is not allowed{why}")
    return f"{key}{place}: {wrong}. Fix: give {allowed}; default {spec.get('default')!r}{meaning}"


def _split_problems(key: str, split: Any) -> list[str]:
    """What is wrong with the fractions of a split."""
    if not isinstance(split, dict):
        return []
    wrong = [part for part in split.values() if type(part) not in (int, float) or not 0 < part <= 1]
    if wrong:
        return [f"{key}: {wrong[0]!r} is no fraction. Fix: give numbers between 0 and 1"]
    if abs(sum(split.values()) - 1) > 1e-9:
        total = f"{sum(split.values()):g}"
        return [f"{key}: the fractions {split!r} add up to {total}. Fix: make them add up to 1"]
    return []


def _cross_field(config: Mapping[str, Any]) -> list[str]:
    problems = _split_problems("split", config["split"])
    for name, split in config["source_splits"].items():
        problems += _split_problems(f"source_splits: {name}", split)
    thinking = config["max_thinking_tokens"] or 0
    longest = config["max_tokens"] + thinking
    if config["max_model_len"] is not None and longest >= config["max_model_len"]:
        also = f" with max_thinking_tokens {thinking}" if thinking else ""
        problems.append(
            f"max_tokens: {config['max_tokens']}{also} leaves no room for a prompt in"
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
