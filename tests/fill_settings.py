"""Settings of the fill stage with the defaults of the configuration's schema."""

from __future__ import annotations

import functools
from typing import Any

from cbdata.config import resolve_config
from cbdata.fill.settings import FillSettings, RuntimeSettings


@functools.cache
def _defaults() -> dict[str, Any]:
    return resolve_config({}, environ={})


def fill_settings(**changes: Any) -> FillSettings:
    """The settings that decide the rows."""
    return FillSettings.of({**_defaults(), **changes})


def runtime_settings(**changes: Any) -> RuntimeSettings:
    """The settings that only decide how fast a job runs."""
    return RuntimeSettings.of({**_defaults(), **changes})
