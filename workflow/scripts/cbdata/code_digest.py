"""A digest of library code for the params of CPU rules.

Snakemake sees a changed script, not a changed library module. Rules carry the digest of the modules
that make their output, so that a changed line of code re-runs them; comments, docstrings and layout
do not count. The fill rule carries a version number bumped by hand instead, because a refactoring
must not cost GPU hours.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def code_digest(*parts: str) -> str:
    """First 16 hex digits of a SHA-256 over the syntax trees of modules (``"jsonl"``) and packages
    (``"render"``) of cbdata.

    Raises FileNotFoundError for a part that does not exist.
    """
    digest = hashlib.sha256()
    for part in sorted(parts):
        target = PACKAGE / part
        files = sorted(target.rglob("*.py")) if target.is_dir() else [target.with_suffix(".py")]
        for file in files:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                _drop_docstring(node)
            digest.update(f"{file.relative_to(PACKAGE)}\0{ast.dump(tree)}\0".encode())
        for data in sorted(target.rglob("*.j*")) if target.is_dir() else []:
            digest.update(data.read_bytes())
    return digest.hexdigest()[:16]


def _drop_docstring(node: ast.AST) -> None:
    if (
        not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        or not node.body
    ):
        return
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body = node.body[1:]
