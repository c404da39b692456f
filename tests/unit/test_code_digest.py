from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from cbdata.code_digest import CodeGraph, code_digest

Write = Callable[..., CodeGraph]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below ``workflow`` over those written before, and read the whole anew."""
    scripts = tmp_path / "workflow" / "scripts"

    def call(**files: str) -> CodeGraph:
        for name, text in files.items():
            path = tmp_path / "workflow" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return CodeGraph(scripts)

    call(
        **{
            "scripts/run.py": "from cbdata.part.code import x\n",
            "scripts/cbdata/__init__.py": "",
            "scripts/cbdata/part/__init__.py": "",
            "scripts/cbdata/part/code.py": '"""Old words."""\nx = 1\n',
            "scripts/cbdata/part/lazy.py": "z = 1\n",
            "scripts/cbdata/other.py": "y = 1\n",
        }
    )
    return call


def reached(graph: CodeGraph, script: str = "run") -> set[str]:
    """The files of a script, named as below ``scripts``."""
    return {
        re.sub(r".*/workflow/(scripts/(cbdata/)?)?", "", path.as_posix())
        for path in graph.files(script)
    }


CODE = {"run.py", "__init__.py", "part/__init__.py", "part/code.py"}


@pytest.mark.parametrize(
    "text",
    [
        '"""New words."""\n\n# why\nx   =   1\n',
        "x = (\n    1\n)\n",
        'x = 1\n"""What x is."""\n',
        "x = 1;\n",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(write: Write, text: str) -> None:
    before = write().digest("run")
    assert write(**{"scripts/cbdata/part/code.py": text}).digest("run") == before


@pytest.mark.parametrize(
    "text", ["x = 2\n", "x = 1.0\n", "x = '1'\n", "x = b'1'\n", "x: int = 1\n", "x = 1\npass\n"]
)
def test_code_counts(write: Write, text: str) -> None:
    before = write().digest("run")
    assert write(**{"scripts/cbdata/part/code.py": text}).digest("run") != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{**x, 'a': 1}", "{'a': 1, **x}"),
        ("lambda *, a, b=1: 0", "lambda *, a=1, b: 0"),
        ("f'{x}a'", "f'a{x}'"),
        ("f'{x!r}'", "f'{x!s}'"),
        ("f(x, y)", "f(x)(y)"),
        ("(a, b), c", "a, (b, c)"),
        ("'\\0'", "'', ''"),
        ("None", "'None'"),
        ("x[1:]", "x[:1]"),
    ],
)
def test_other_code_has_another_digest(write: Write, one: str, other: str) -> None:
    digests = [write(**{"scripts/run.py": text}).digest("run") for text in (one, other)]
    assert digests[0] != digests[1]


def test_a_script_that_does_not_exist_is_an_error(write: Write) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.py"):
        write().digest("nothing")
    with pytest.raises(FileNotFoundError, match=r"nothing\.py"):
        code_digest("nothing")


def test_the_script_itself_counts(write: Write) -> None:
    before = write().digest("run")
    changed = {"scripts/run.py": "from cbdata.part.code import x\nprint(x)\n"}
    assert write(**changed).digest("run") != before


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("", set()),
        ("import json", set()),
        ("import cbdata.other", {"other.py"}),
        ("import cbdata.other as o", {"other.py"}),
        ("from cbdata import other", {"other.py"}),
        ("from cbdata.other import y", {"other.py"}),
        ("from .. import other", {"other.py"}),
        ("from ..other import y", {"other.py"}),
        ("from . import lazy", {"part/lazy.py"}),
        ("from .lazy import z as zz", {"part/lazy.py"}),
        ("from cbdata.part import lazy", {"part/lazy.py"}),
        ("def f():\n    from cbdata import other", {"other.py"}),
        ("class A:\n    if 1:\n        import cbdata.other", {"other.py"}),
        ("try:\n    pass\nfinally:\n    from cbdata.other import y", {"other.py"}),
        ("if TYPE_CHECKING:\n    from cbdata import other", set()),
        ("if typing.TYPE_CHECKING:\n    pass\nelse:\n    from cbdata import other", {"other.py"}),
        ("if not TYPE_CHECKING:\n    from cbdata import other", {"other.py"}),
        # Registries by name.
        ("KINDS = {'a': 'cbdata.other'}", {"other.py"}),
        ("KINDS = {'a': 'cbdata.other:y'}", {"other.py"}),
        ("KINDS = {'a': 'cbdata.other.y'}", {"other.py"}),
        ("import_module(f'cbdata.part.{name}')", {"part/lazy.py"}),
        ("import_module('cbdata.part.' + name)", {"part/lazy.py"}),
        ("log('cbdata.other is a module')", set()),
        ('"""cbdata.other"""', set()),
        ("KINDS = {'a': 'cbdata.nothing'}", set()),
    ],
)
def test_what_a_module_reaches(write: Write, text: str, more: set[str]) -> None:
    graph = write(**{"scripts/cbdata/part/code.py": text})
    assert reached(graph) == CODE | more


def test_imports_are_followed_from_module_to_module_and_in_circles(write: Write) -> None:
    graph = write(
        **{
            "scripts/cbdata/part/code.py": "from cbdata.part import lazy",
            "scripts/cbdata/part/lazy.py": "from cbdata import other",
            "scripts/cbdata/other.py": "def f():\n    from cbdata.part import code",
        }
    )
    assert reached(graph) == CODE | {"part/lazy.py", "other.py"}


def test_what_a_package_imports_counts_for_its_modules(write: Write) -> None:
    graph = write(**{"scripts/cbdata/part/__init__.py": "from cbdata.part.lazy import z"})
    assert reached(graph) == CODE | {"part/lazy.py"}


def test_a_package_that_is_run_by_name_brings_its_main_module(write: Write) -> None:
    main = {"scripts/cbdata/part/__main__.py": "from cbdata import other"}
    graph = write(**main, **{"scripts/run.py": "os.execv(python, ['-m', 'cbdata.part'])"})
    assert reached(graph) == {
        "run.py",
        "__init__.py",
        "part/__init__.py",
        "part/__main__.py",
        "other.py",
    }


def test_a_star_import_of_the_library_is_refused(write: Write) -> None:
    graph = write(**{"scripts/cbdata/part/code.py": "x = 1\nfrom cbdata.part import *"})
    with pytest.raises(ValueError, match=r"part/code\.py, line 2: import \*"):
        graph.digest("run")


DATA = {
    "scripts/cbdata/part/assets/page.css": "a {}",
    "scripts/cbdata/part/assets/deep/page.js": "1",
    "scripts/cbdata/part/assets/.page.css.swp": "",
    "scripts/cbdata/part/words.txt": "a",
    "schemas/trace_v1.schema.json": "{}",
    "schemas/config.schema.yaml": "{}",
}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("A = HERE / 'assets'", {"part/assets/page.css", "part/assets/deep/page.js"}),
        ("A = open('assets/page.css')", {"part/assets/page.css", "part/assets/deep/page.js"}),
        ("A = HERE / 'words.txt'", {"part/words.txt"}),
        ("first_error('trace_v1', x)", {"schemas/trace_v1.schema.json"}),
        ("SCHEMAS / 'trace_v1.schema.json'", {"schemas/trace_v1.schema.json"}),
        ("SCHEMAS / 'config.schema.yaml'", {"schemas/config.schema.yaml"}),
        ('"""trace_v1"""', set()),
        ("A = ['', '.', '..', '/', '../part', 'code.py', '\\0', 'lazy']", set()),
    ],
)
def test_data_files_that_a_module_names_count(write: Write, text: str, more: set[str]) -> None:
    graph = write(**DATA, **{"scripts/cbdata/part/code.py": text})
    assert reached(graph) == CODE | more
    before = graph.digest("run")
    for name in DATA:
        changed = re.sub(r"scripts/cbdata/", "", name) in more
        assert (write(**{name: "changed"}).digest("run") != before) == changed
        write(**{name: DATA[name]})


SAME_EVERYWHERE = r'''
"""Docs."""
A = f"{1:}" f"{2!r:>{3}}" "x" f"{{{4}}}" 'y' f"{5=}" f"{6 = !s:^8}" f""
B = f"a{{b}}" "c" "" f"" 'd' f"{3:{{}}}" f"\N{EM DASH}{1}\t\x41{2}" rf"\d{1}"
C = "🫨" + "\ud800" + u"k" + '\x00' + "Ɐꟊ"
D = (1_000, 0x1F, 1e400, 1j, -0.0, b"\xff", ..., None, True, {**{}, "a": 1})

class K(dict, metaclass=type):
    x: int

    async def g(self, a, /, b: int = 1, *c, d, e=2, **f) -> None:
        async with self as s:
            return [await i async for i in s if i if not i]

def h(v):
    match v:
        case {"a": 1, **rest} | {}: return rest
        case [1, *_, None] | K(x=True): pass
    try:
        return lambda: (yield v[1:, ::2])
    except* ValueError as e:
        print(*v, **v, sep="")
'''


def test_the_digest_is_the_same_in_every_python(write: Write) -> None:
    """The value was found with 3.11, 3.12 and 3.13: whoever changes how code is hashed finds a new
    one, the same in all of them.

    Among the code are an f-string that 3.12.1 cuts into other pieces, functions and classes that
    have type parameters from 3.12 on, empty lists that 3.13 leaves out of ``ast.dump``, and a
    character that is printable from Unicode 15 (Python 3.12) on.
    """
    assert write(**{"scripts/run.py": SAME_EVERYWHERE}).digest("run") == "7c36479fbe047103"


def test_fields_that_another_version_adds_do_not_count(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do the pieces that a text in an f-string is cut into."""
    before = write(**{"scripts/run.py": "print(f'ab{x}')\n"}).digest("run")
    read = ast.parse

    def of_the_next_version(*arguments: object) -> ast.Module:
        tree: ast.Module = read(*arguments)  # type: ignore[call-overload]
        for node in ast.walk(tree):
            kind = type(node)
            if isinstance(node, ast.JoinedStr):
                node.values = [*map(ast.Constant, ["", "a", "b"]), node.values[1], ast.Constant("")]
            if isinstance(node, ast.Module | ast.Call | ast.Name | ast.Assign):
                fields = (*kind._fields, "new_list", "new_value")
                later = type(kind.__name__, (kind,), {"_fields": fields, "new_value": None})
                node.new_list = []  # type: ignore[union-attr]
                node.__class__ = later
        return tree

    monkeypatch.setattr(ast, "parse", of_the_next_version)
    assert write().digest("run") == before


def test_what_the_rules_scripts_reach_is_what_bytecode_says(repo: Path, tmp_path: Path) -> None:
    """Another way to the same set: the standard library's ModuleFinder reads compiled code, and
    the compiler leaves out what is never run.
    """
    graph = CodeGraph(repo / "workflow" / "scripts")
    scripts = tmp_path / "scripts"
    shutil.copytree(repo / "workflow" / "scripts", scripts)
    for path in scripts.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("if TYPE_CHECKING:", "if 0:"), encoding="utf-8")
    for script in sorted(scripts.glob("*.py")):
        if script.stem == "fill_shard":
            continue  # it starts cbdata.fill by name, which ModuleFinder does not see
        finder = ModuleFinder([str(scripts)])
        finder.run_script(str(script))
        expected = {
            Path(module.__file__).relative_to(scripts)
            for module in finder.modules.values()
            if module.__file__
        }
        found = {
            path.relative_to(repo / "workflow" / "scripts")
            for path in graph.files(script.stem)
            if path.suffix == ".py"
        }
        assert found == expected, script.stem


def test_no_module_is_imported_in_a_way_that_is_not_followed(repo: Path) -> None:
    unseen = re.compile(r"\b(pkgutil|__import__|spec_from_file_location|entry_points|runpy)\b")
    for path in (repo / "workflow" / "scripts" / "cbdata").rglob("*.py"):
        assert not unseen.search(path.read_text(encoding="utf-8")), path


def test_every_schema_is_asked_for_by_its_name(repo: Path) -> None:
    """A name that comes in a variable would not be seen where the schema is used."""
    schemas = repo / "workflow" / "schemas"
    used = set()
    for path in (repo / "workflow" / "scripts" / "cbdata").rglob("*.py"):
        if path.name == "schemas.py":
            continue
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"\b(?:first_error|validator|load_schema)\(([^,)]*)", text):
            assert re.fullmatch(r'"\w+"', name), f"{path}: {name}"
            assert (schemas / f"{name[1:-1]}.schema.json").exists(), f"{path}: {name}"
            used.add(name)
    assert '"trace_v1"' in used


def test_every_rule_carries_the_digest_of_its_own_script(repo: Path) -> None:
    """All but fill_shard, which carries FILL_VERSION. The rules that a registry makes also carry
    the digest of the module that their script imports by name.
    """
    by_name = {"convert_source": "SOURCE.module", "export_data": "EXPORT.dotted"}
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (repo / "workflow" / "rules").glob("*.smk")
    )
    text = re.sub(r'rule:\s+name:\s+f"(\w+)\{\w+.name\}"', r"rule \1:", text)
    blocks = re.split(r"^ *(?=rule \w+:$|use rule \w+ as )", text, flags=re.MULTILINE)[1:]
    scripts: dict[str, str] = {}
    checked = set()
    for block in blocks:
        name = re.match(r"(?:use rule \w+ as |rule )(\w+)", block)
        base = re.match(r"use rule (\w+)", block)
        script = re.search(r'script:\s+"\.\./scripts/(\w+)\.py"', block)
        found = script[1] if script else base and scripts[base[1]]
        assert name is not None
        if not found:
            continue
        scripts[name[1]] = found
        if found != "fill_shard" and not (base and "params:" not in block):
            words = [f'"{found}"', *([by_name[found]] if found in by_name else [])]
            assert re.findall(r"code_digest\((.*)\)", block) == [", ".join(words)], name[1]
            checked.add(name[1])
    assert {"merge_fill", "lossmask_by_step", "build_report", "convert_", "export_"} <= checked
