"""A digest of the code behind a rule's output, for the ``params`` of CPU rules.

Snakemake sees a changed script, not a changed library module. A rule carries the digest of its
script, so that a changed line of code anywhere behind it re-runs the rule. The fill rule carries a
version number raised by hand instead, because a refactoring must not cost GPU hours.

What counts for a script:

- the script itself, and every module of the library that it reaches by imports, from module to
  module. Imports inside functions count, and so does the ``__init__`` of every package on the way;
  imports under ``if TYPE_CHECKING`` do not, since they never run;
- modules that are named by a string. A string that is a whole dotted name (``"cbdata.fill.job"``,
  ``"cbdata.fill.job:load_job"``) counts as an import of it, and of ``__main__`` in a package. A
  string that ends in a dot, also in an f-string (``f"cbdata.sources.{name}"``), counts as an import
  of every module below. So a registry may import its modules or name them; names put together in
  another way, or found by listing a folder, are not seen;
- data files that such a module names by a string: a file or a folder (with all its files) beside
  the module, and a schema of ``workflow/schemas`` by its file name or without ``.schema.json``.
  The files of ``configs`` do not count: those that decide an output are inputs of its rule.

Of Python code the syntax tree is hashed, so comments, docstrings and layout do not count, and the
digest is the same in every Python version that runs the workflow.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "cbdata"
SCRIPTS = Path(__file__).resolve().parents[1]
SCHEMA_SUFFIX = ".schema.json"

# Of no meaning for what the code does: ctx follows from the place in the tree, kind tells u"" from
# "", and a type comment is a comment.
_SILENT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_DOTTED = re.compile(rf"({PACKAGE}(?:\.[A-Za-z_]\w*)*)(\.|:[A-Za-z_][\w.]*)?")


def code_digest(script: str, *modules: str) -> str:
    """The digest of one of the workflow's scripts. Files are read once per process.

    Args:
        script: Its name, ``"render_traces"`` for ``render_traces.py``.
        modules: Dotted names of modules that the script imports by a name from its params.

    Returns:
        The first 16 hex digits of a SHA-256.

    Raises:
        FileNotFoundError: There is no such script or module.
        ValueError: An import cannot be followed.
    """
    return _workflow().digest(script, *modules)


@functools.cache
def _workflow() -> CodeGraph:
    return CodeGraph(SCRIPTS)


@dataclass
class _Source:
    """A parsed Python file: its hash, what it imports as dotted names, and its strings."""

    sha256: str
    imports: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)


class CodeGraph:
    """The scripts of a folder with the library beside them, each file read once."""

    def __init__(self, scripts: Path) -> None:
        self._scripts = scripts
        self._modules = dict(_modules(scripts))
        self._schemas = _by_name(scripts.parent / "schemas")
        self._schemas |= {
            name.removesuffix(SCHEMA_SUFFIX): path for name, path in self._schemas.items()
        }
        self._sources: dict[Path, _Source] = {}
        self._beside: dict[Path, dict[str, Path]] = {}
        self._hashes: dict[Path, str] = {}

    def digest(self, script: str, *modules: str) -> str:
        """First 16 hex digits of a SHA-256 over the files of a script, see ``files``."""
        digest = hashlib.sha256()
        for path in self.files(script, *modules):
            name = path.relative_to(self._scripts.parent).as_posix()
            digest.update(f"{name}\0{self._hash(path)}\0".encode())
        return digest.hexdigest()[:16]

    def files(self, script: str, *modules: str) -> list[Path]:
        """The files that the digest of a script is made of, sorted: code and data."""
        start = self._scripts / f"{script}.py"
        pending = [(start, "")]
        for module in modules:
            if module not in self._modules:
                raise FileNotFoundError(f"{script}: there is no module {module}")
            pending += [(self._modules[name], name) for name in self._on_the_way(module)]
        found = {path for path, _ in pending}
        while pending:
            path, module = pending.pop()
            source = self._source(path, module)
            found |= self._data(path, source)
            for name in self._reached(source):
                target = self._modules[name]
                if target not in found:
                    found.add(target)
                    pending.append((target, name))
        return sorted(found)

    def _hash(self, path: Path) -> str:
        if path in self._sources:
            return self._sources[path].sha256
        if path not in self._hashes:
            self._hashes[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._hashes[path]

    def _source(self, path: Path, module: str) -> _Source:
        if path not in self._sources:
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            self._sources[path] = _parse(path, package)
        return self._sources[path]

    def _reached(self, source: _Source) -> Iterator[str]:
        """The modules that a source runs by its imports and its strings, packages included."""
        for name in source.imports:
            yield from self._on_the_way(name)
        for string in source.strings:
            match = _DOTTED.fullmatch(string)
            if match is None:
                continue
            yield from self._on_the_way(match[1])
            if match[2] == ".":
                yield from (name for name in self._modules if name.startswith(string))
            elif f"{match[1]}.__main__" in self._modules:
                yield f"{match[1]}.__main__"

    def _on_the_way(self, name: str) -> Iterator[str]:
        """A module with the packages around it; the last part may be a name in a module instead."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = ".".join(parts[:end])
            if module not in self._modules:
                return
            yield module

    def _data(self, path: Path, source: _Source) -> set[Path]:
        """The data files that a source names."""
        folder = path.parent
        if folder not in self._beside:
            self._beside[folder] = _by_name(folder)
        beside = self._beside[folder]
        found = {self._schemas[name] for name in source.strings & self._schemas.keys()}
        for name in {string.partition("/")[0] for string in source.strings} & beside.keys():
            found |= _files(beside[name])
        return found


def _modules(scripts: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of the library; a package by its ``__init__``."""
    for path in (scripts / PACKAGE).rglob("*.py"):
        parts = path.relative_to(scripts).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _by_name(folder: Path) -> dict[str, Path]:
    """The data files and folders of data in a folder."""
    return {
        path.name: path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix != ".py" and not _hidden(path) and not (path / "__init__.py").exists()
    }


def _files(path: Path) -> set[Path]:
    if path.is_file():
        return {path}
    return {
        file
        for file in path.rglob("*")
        if file.is_file() and not any(map(_hidden, [file, *file.relative_to(path).parents]))
    }


def _hidden(path: Path) -> bool:
    """Whether a file or folder is left by an editor or by Python."""
    return path.name.startswith(".") or path.name == "__pycache__"


def _parse(path: Path, package: str) -> _Source:
    """Hash a Python file and note its imports and strings. ``package``: what it lies in."""
    reader = _Reader(str(path), package)
    reader.node(ast.parse(path.read_bytes(), str(path)))
    text = "\0".join(reader.out)
    return _Source(hashlib.sha256(text.encode()).hexdigest(), reader.imports, reader.strings)


@functools.cache
def _counted(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in fields if name not in _SILENT)


class _Reader:
    """Writes a syntax tree as a list of words.

    ``ast.dump`` and ``ast.unparse`` differ between Python versions. Here a field counts only where
    it holds something, since a new version's new fields are empty in older code; and the pieces of
    text in an f-string are joined, since versions cut them differently.
    """

    def __init__(self, file: str, package: str) -> None:
        self.file, self.package = file, package
        self.out: list[str] = []
        self.imports: set[str] = set()
        self.strings: set[str] = set()
        self._running = True

    def node(self, node: ast.AST) -> None:
        """Write a node with all below it."""
        if isinstance(node, ast.Constant):
            self._constant(node.value)
            return
        if isinstance(node, ast.Import):
            self._import(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node)
        write = self.out.append
        write("(" + type(node).__name__)
        for name in _counted(node._fields):
            value = getattr(node, name, None)
            if isinstance(value, list):
                values = _joined(value) if isinstance(node, ast.JoinedStr) else _no_texts(value)
                if values:
                    before = self._running
                    if name == "body" and isinstance(node, ast.If) and _is_type_checking(node.test):
                        self._running = False
                    write(name)
                    self._list(values)
                    self._running = before
            elif value is not None:
                write(name)
                if isinstance(value, ast.AST):
                    self.node(value)
                else:
                    write(ascii(value))
        write(")")

    def _list(self, values: Sequence[object]) -> None:
        """Write a list; None stands in the keys of ``{**more}`` and where a default is missing."""
        self.out.append("[")
        for value in values:
            if isinstance(value, ast.AST):
                self.node(value)
            else:
                self.out.append(ascii(value))
        self.out.append("]")

    def _constant(self, value: object) -> None:
        # Not repr: which characters it shows as they are depends on the version's Unicode tables.
        self.out.append(ascii(value))
        if isinstance(value, str):
            self.strings.add(value)

    def _import(self, names: Iterable[str]) -> None:
        if self._running:
            self.imports.update(names)

    def _import_from(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = self.package.split(".")
            around = ".".join(parts[: len(parts) - node.level + 1])
            base = f"{around}.{base}" if base else around
        if base.split(".")[0] == PACKAGE and node.names[0].name == "*":
            raise ValueError(
                f"{self.file}, line {node.lineno}: import * hides which modules run. Fix: name what"
                " is imported"
            )
        self._import(f"{base}.{alias.name}" for alias in node.names)


def _no_texts(values: list[object]) -> list[object]:
    """A list without the statements that are a string and nothing else: documentation."""
    return [
        value
        for value in values
        if not (isinstance(value, ast.Expr) and _text(value.value) is not None)
    ]


def _text(node: ast.AST) -> str | None:
    """The string that a constant is."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring texts as one and empty ones left out."""
    parts: list[ast.expr] = []
    for value in values:
        text = _text(value)
        before = _text(parts[-1]) if parts else None
        if text is None:
            parts.append(value)
        elif before is not None:
            parts[-1] = ast.Constant(before + text)
        elif text:
            parts.append(value)
    return parts
