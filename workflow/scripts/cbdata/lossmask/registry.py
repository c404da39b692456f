"""The registry of loss mask policies, ``configs/lmp_registry_v1.json``: one entry per policy,
looked up by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from cbdata.lossmask.policies import Layer, PolicyError, custom_layers, weight_in_range
from cbdata.paths import POLICY_REGISTRY
from cbdata.suggest import did_you_mean


@dataclass(frozen=True)
class Policy:
    """A policy with the parameters that it is applied with."""

    id: str
    version: str
    params: Mapping[str, Any]
    layers: tuple[Layer, ...]
    allow_empty: bool
    suits: frozenset[str]

    @cached_property
    def needs(self) -> str:
        """The span kinds that its trained tokens come from, for messages."""
        return (
            ", ".join(dict.fromkeys(layer.span for layer in self.layers if layer.weight > 0))
            or "nothing"
        )


@dataclass(frozen=True)
class Registry:
    """The entries of a registry file by id, in file order."""

    path: str
    default_policy: str
    entries: Mapping[str, Mapping[str, Any]]
    _bound: dict[tuple[str, bytes], Policy] = field(default_factory=dict, compare=False, repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """All policy ids in file order."""
        return tuple(self.entries)

    def entry(self, policy_id: str) -> Mapping[str, Any]:
        """The entry of a policy. Raises PolicyError with suggestions for an unknown id."""
        try:
            return self.entries[policy_id]
        except KeyError:
            raise PolicyError(
                f"unknown loss mask policy {policy_id!r}; {suggestion(policy_id, self.entries)}"
            ) from None

    def bind(self, policy_id: str, params: Mapping[str, Any] | None = None) -> Policy:
        """A policy with ``params`` laid over the entry's own.

        Raises PolicyError for an unknown id or parameter and for a value that a parameter cannot
        have (a weight outside [0, 1], a window of no token), and ParamsMissing for ``custom``
        without any.
        """
        key = (policy_id, orjson.dumps(params or {}, option=orjson.OPT_SORT_KEYS))
        if (policy := self._bound.get(key)) is None:
            policy = self._bound[key] = self._bind(policy_id, params or {})
        return policy

    def _bind(self, policy_id: str, params: Mapping[str, Any]) -> Policy:
        entry = self.entry(policy_id)
        merged = {**entry["params"], **params}
        if entry["strategy"] == "custom":
            layers = custom_layers(merged)
        else:
            if unknown := sorted(set(params) - set(entry["params"])):
                known = ", ".join(entry["params"]) or "none"
                raise PolicyError(
                    f"policy {policy_id}: unknown parameter {unknown[0]!r}; its parameters: {known}"
                )
            layers = tuple(
                _layer(policy_id, declaration, merged) for declaration in entry["layers"]
            )
        return Policy(
            policy_id,
            entry["version"],
            merged,
            layers,
            entry["allow_empty"],
            frozenset(entry["suits"]),
        )


def suggestion(unknown: str, known: Mapping[str, Any] | list[str]) -> str:
    """``did you mean ...?`` for a misspelt name, with every known one."""
    return f"{did_you_mean(unknown, known)} Known: {', '.join(known)}".lstrip()


def load_registry(path: str | Path = POLICY_REGISTRY) -> Registry:
    """Read and check a registry file. Raises PolicyError naming the file and the entry that is
    wrong.
    """
    from cbdata.schemas import all_errors

    try:
        data = orjson.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise PolicyError(f"policy registry {path} does not exist") from error
    except orjson.JSONDecodeError as error:
        raise PolicyError(f"policy registry {path} is not JSON: {error}") from error
    if problem := all_errors("lmp_registry", data):
        raise PolicyError(f"policy registry {path}: {problem}")
    entries: dict[str, Mapping[str, Any]] = {}
    for entry in data["policies"]:
        if entry["id"] in entries:
            raise PolicyError(
                f"policy registry {path}: {entry['id']!r} is there twice; give the second one an id"
                " of its own"
            )
        entries[entry["id"]] = entry
    registry = Registry(str(path), data["default_policy"], entries)
    for entry in data["policies"]:
        if entry["strategy"] == "layers":
            registry.bind(entry["id"])
    registry.entry(registry.default_policy)
    return registry


def _layer(policy_id: str, declaration: Mapping[str, Any], params: Mapping[str, Any]) -> Layer:
    where = f"policy {policy_id}"

    def value(key: str) -> tuple[Any, str]:
        """What a layer says under a key, itself or by the name of a parameter, and where."""
        said = declaration.get(key)
        if not isinstance(said, str):
            return said, f"{where}: {key}"
        if said not in params:
            raise PolicyError(
                f"{where}: a layer's {key} names the parameter {said!r}, which params does not have"
            )
        return params[said], f"{where}: parameter {said}"

    roles = declaration.get("roles")
    return Layer(
        declaration["span"],
        weight_in_range(*value("weight")),
        frozenset(roles) if roles else None,
        after_injection=declaration.get("after") == "injection",
        after_thinking=_switch(*value("after_thinking")),
        first=_count(*value("first")),
    )


def _switch(value: Any, where: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise PolicyError(f"{where}: expected true or false, got {value!r}")
    return bool(value)


def _count(value: Any, where: str) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise PolicyError(f"{where}: expected a whole number of at least 1, got {value!r}")
    return value
