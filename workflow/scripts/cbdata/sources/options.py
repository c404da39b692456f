"""How sources are loaded: which runs take part, how many traces of a class, how they are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

SplitBy = Literal["task", "injection", "both"]
SPLIT_BY: tuple[SplitBy, ...] = get_args(SplitBy)

Resisted = Literal["retain", "exclude"]

CLASS_CAP, RESISTED, SPLIT_CONFLICT = "class_cap", "resisted", "split_conflict"
"""Why a trace is not selected, as the stats of the stage count it:

- its class has more traces than ``class_caps`` allows
- its attack was resisted, and ``resisted`` is ``exclude``
- its user task and its injection belong to different splits, and ``split_by`` is ``both``
"""


@dataclass(frozen=True)
class LoadOptions:
    """How a source is loaded; but for ``own``, the fields are keys of the configuration.

    - ``split_by``: whether a trace's split follows its user task, its injection, or both; see
      ``SplitAssigner.of``
    - ``class_caps``: the most traces of a class
    - ``resisted``: whether runs whose attack was seen and resisted are kept
    - ``own``: the values of the further keys that the source's entry in the registry names
    """

    split_by: SplitBy = "task"
    class_caps: Mapping[str, int] = field(default_factory=dict)
    resisted: Resisted = "retain"
    own: Mapping[str, Any] = field(default_factory=dict)


DEFAULTS = LoadOptions()
"""Nothing is left out."""
