"""With this folder on PYTHONPATH, a fill process finds the stub engine where it looks for the
transformers backend (``use_vllm: false``).

Python imports a module of this name at every start; all but fill processes (``python -m
cbdata.fill``) are left as they are.
"""

import importlib.machinery
import importlib.util
import sys
import types

BACKEND = "cbdata.fill.backends.transformers_backend"


class StubFinder:
    """Gives the backend's name a module that holds the stub."""

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == BACKEND else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return types.ModuleType(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        from stub_engine import StubEngine

        module.TransformersBackend = StubEngine


if sys.orig_argv[1:3] == ["-m", "cbdata.fill"]:
    sys.meta_path.insert(0, StubFinder())
