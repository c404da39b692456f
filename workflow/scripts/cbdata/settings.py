"""Settings classes and the configuration: their fields have the names of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def settings_from(values: Mapping[str, Any], kind: type[Settings]) -> Settings:
    """The settings of a dataclass out of a larger mapping: the configuration, or a rule's params.

    Raises TypeError where the mapping lacks a field that has no default of its own.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # any dataclass
    return kind(**{name: values[name] for name in names if name in values})
