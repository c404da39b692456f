"""The backends by name. A new one is a module beside this one and a line in ``BUILT_IN``.

A backend that is no part of the project (the scale benchmark's stand-in for a model is one) has its
module named in the environment variable CB_BACKEND_MODULES: comma-separated, importable by Python,
each with its backend as ``BACKEND``. The configuration only ever chooses among names, so that a
configuration file cannot make a job import code; whoever sets the variable could as well set
PYTHONPATH.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Mapping

from cbdata.config import ConfigError
from cbdata.fill.backends.base import Backend
from cbdata.fill.backends.endpoint_backend import EndpointBackend
from cbdata.fill.backends.transformers_backend import TransformersBackend
from cbdata.fill.backends.vllm_backend import VllmBackend
from cbdata.records import BACKEND_NAMES

logger = logging.getLogger(__name__)

BUILT_IN: tuple[Backend, ...] = (VllmBackend(), TransformersBackend(), EndpointBackend())

MODULES_VARIABLE = "CB_BACKEND_MODULES"


def find_backend(name: str, environ: Mapping[str, str] = os.environ) -> Backend:
    """Return the backend of this name; a log line says so if it comes from a module of
    CB_BACKEND_MODULES.

    Args:
        name: The name, ``FillSettings.backend_name``.
        environ: Where CB_BACKEND_MODULES is looked up.

    Raises:
        ConfigError: No backend has the name, or a module of the variable cannot be used.
    """
    backends = {backend.name: backend for backend in BUILT_IN}
    for module, backend in _from_modules(environ):
        if backend.name in backends:
            raise ConfigError(
                [f"{MODULES_VARIABLE}: {module} brings a backend {backend.name!r}, which is there"]
            )
        backends[backend.name] = backend
        if backend.name == name:
            logger.warning("backend %s comes from %s (%s)", name, module, MODULES_VARIABLE)
    found = {str(known): backend for known, backend in backends.items()}.get(name)
    if found is None:
        raise ConfigError(
            [
                (
                    f"backend: {name!r} is none of {', '.join(sorted(backends))}. Fix: give one of"
                    f" these, or name its module in {MODULES_VARIABLE} (docs/fill.md)"
                )
            ]
        )
    return found


def _from_modules(environ: Mapping[str, str]) -> Iterator[tuple[str, Backend]]:
    for module in filter(None, environ.get(MODULES_VARIABLE, "").split(",")):
        try:
            backend: Backend = importlib.import_module(module).BACKEND
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                [f"{MODULES_VARIABLE}: {module} cannot be used ({error}). Fix: docs/fill.md"]
            ) from error
        if backend.name not in BACKEND_NAMES:
            raise ConfigError(
                [
                    (
                        f"{MODULES_VARIABLE}: {module} brings a backend {backend.name!r}, a name"
                        " that trace_v1 does not have. Fix: call it one of"
                        f" {', '.join(BACKEND_NAMES)}"
                    )
                ]
            )
        yield module, backend
