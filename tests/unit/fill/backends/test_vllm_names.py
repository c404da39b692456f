"""The names that are written down are those of the installed vLLM."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from cbdata.fill.backends.vllm_backend import vllm_version
from cbdata.fill.backends.vllm_names import (
    ENGINE_ARGUMENTS,
    KV_CACHE_TYPES,
    QUANTIZATIONS,
    VLLM_VERSION,
)


def source(name: str) -> ast.Module:
    """A module of vLLM, read and not imported: that would take longer than all other tests."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None and spec.origin is not None
    return ast.parse((Path(spec.origin).parent / name).read_text(encoding="utf-8"))


def literal(module: ast.Module, name: str) -> set[str]:
    """The strings of ``name = Literal[...]``."""
    (value,) = (
        node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == name
    )
    return {
        node.value
        for node in ast.walk(value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_names_are_of_the_installed_version() -> None:
    assert vllm_version()[0].removesuffix("+cpu") == VLLM_VERSION


def test_engine_arguments() -> None:
    (arguments,) = (
        node
        for node in source("engine/arg_utils.py").body
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
    )
    names = {
        node.target.id
        for node in arguments.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert {name for name in names if not name.startswith("_")} == ENGINE_ARGUMENTS


def test_values_of_quantization_and_kv_cache_dtype() -> None:
    quantization = source("model_executor/layers/quantization/__init__.py")
    assert literal(quantization, "QuantizationMethods") == QUANTIZATIONS
    assert literal(source("config/cache.py"), "CacheDType") == KV_CACHE_TYPES
