"""Files whole or not at all: full disks, forbidden places, what killed writers leave."""

from __future__ import annotations

import ast
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbdata import atomic_file
from cbdata.atomic_file import AtomicFile, FileError, open_together, write_atomic
from tests.unit.full_disk import full_disk


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_on_a_clean_exit(tmp_path: Path) -> None:
    with AtomicFile(tmp_path / "new" / "a.jsonl") as file:
        file.write(b"whole")
        assert not (tmp_path / "new" / "a.jsonl").exists()
    assert (tmp_path / "new" / "a.jsonl").read_bytes() == b"whole"
    assert names(tmp_path / "new") == ["a.jsonl"]


def test_an_exception_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"earlier")

    def stop_half_way() -> None:
        with AtomicFile(tmp_path / "a") as file:
            file.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"earlier"


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    """10 bytes fail when the file is closed, 3 MiB while they are written."""
    write_atomic(tmp_path / "a", b"earlier")
    with full_disk(), pytest.raises(FileError) as caught:
        write_atomic(tmp_path / "a", bytes(size))
    assert caught.value.errno == errno.EFBIG
    assert str(caught.value) == (
        f"{tmp_path}/a could not be written: File too large. Hint: a limit on the size of files is"
        " set (ulimit -f); lift it"
    )
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"earlier"


def test_a_folder_of_the_same_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(FileError, match=f"{tmp_path}/a could not be written.*Hint: a folder has"):
        write_atomic(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]


def test_a_file_where_a_folder_must_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileError, match=f"{tmp_path}/a/b/c could not be written"):
        write_atomic(tmp_path / "a" / "b" / "c", b"x")


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Hint: give the data set a shorter name"):
        write_atomic(tmp_path / ("x" * 255), b"x")


def test_of_several_files_none_stays_open_where_one_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    with pytest.raises(FileError, match="b/c could not be written"):
        open_together([tmp_path / "a", tmp_path / "b" / "c"])
    assert names(tmp_path) == ["b"]


KILLED_WRITER = """
import os, signal, sys
from cbdata.atomic_file import AtomicFile
file = AtomicFile(sys.argv[1])
file.write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_with_the_next_writer_of_that_file(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WRITER, tmp_path / "a"],
        env={"PYTHONPATH": str(Path(atomic_file.__file__).parents[1])},
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    write_atomic(tmp_path / "b", b"another output, perhaps another node's")
    assert names(tmp_path) == [left, "b"]
    write_atomic(tmp_path / "a", b"whole")
    assert names(tmp_path) == ["a", "b"]


def test_only_leftovers_that_cannot_be_live_are_removed(tmp_path: Path) -> None:
    host = socket.gethostname().replace(".", "-")[:64]
    alive = f".a.{host}.{os.getppid()}.part"
    elsewhere = ".a.another-node.1.part"
    others = [
        f".a.jsonl.{host}.999999999.part",
        ".a.b.node.1.part",
        ".aa.node.1.part",
        ".a.node.part",
        ".a.node.1.part.jsonl",
        "a.node.1.part",
    ]
    for name in [alive, elsewhere, *others]:
        (tmp_path / name).write_bytes(b"x")
    write_atomic(tmp_path / "a", b"whole")
    assert names(tmp_path) == sorted(["a", alive, *others])


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / ".ab.node.1.part").write_bytes(b"x")
    write_atomic(tmp_path / "a.*[b]", b"whole")
    assert names(tmp_path) == [".ab.node.1.part", "a.*[b]"]


BY_HAND = {"config_table.py", "reasons_page.py", "export_table.py"}
"""Modules whose files a developer has written, never a job."""


def writes_a_file(call: ast.Call) -> bool:
    """Whether a call opens a file to write to it, or writes one by its name or number."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = function.value if isinstance(function, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id == "os":
        return name in {"write", "pwrite"}  # os.open names the file in its error
    if name == "open":
        given = [*call.args, *(word.value for word in call.keywords)]
        texts = [str(each.value) for each in given if isinstance(each, ast.Constant)]
        return any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts)
    return name in {"write_text", "write_bytes"}


def unnamed_writes(node: ast.AST, named: bool = False) -> Iterator[int]:
    """The lines of calls that write outside of ``with naming...(path)``."""
    if isinstance(node, ast.With):
        openers = [item.context_expr for item in node.items]
        yield from (line for opener in openers for line in unnamed_writes(opener, named))
        named = named or any(
            isinstance(opener, ast.Call)
            and isinstance(opener.func, ast.Name)
            and opener.func.id.startswith("naming")
            for opener in openers
        )
        yield from (line for part in node.body for line in unnamed_writes(part, named))
        return
    if isinstance(node, ast.Call) and not named and writes_a_file(node):
        yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from unnamed_writes(child, named)


def test_whatever_a_job_writes_is_named_where_the_disk_is_full(repo: Path) -> None:
    """Through AtomicFile, or inside ``naming``: the system's own error of a write names no file."""
    found = {
        f"{path.name}:{line}"
        for path in (repo / "workflow/scripts/cbdata").rglob("*.py")
        if path.name not in BY_HAND
        for line in unnamed_writes(ast.parse(path.read_bytes()))
    }
    assert found == set()
    code = "open(p, 'wb')\nwith naming(p):\n    p.write_text('')\np.write_bytes(b'')\nopen(p)"
    code += "\np.open(mode='a')\np.open('rb')\nos.write(1, b'')"
    assert list(unnamed_writes(ast.parse(code))) == [1, 4, 6, 8]
