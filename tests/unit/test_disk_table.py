"""Values by key on disk: the same answers as a dict, and a plain error where the disk is full."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.atomic_file import FileError
from cbdata.disk_table import (
    DiskLists,
    DiskTable,
    SortError,
    TemporaryTableError,
    naming_sorts,
    naming_sqlite,
    naming_temporary,
)

GROWING = """
import resource
from cbdata.disk_table import DiskTable
table = DiskTable(("value",))
for number in range(1000):
    table.add(f"{number:050}", "x" * 50)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(1000, 100_000):
    table.add(f"{number:050}", "x" * 50)
assert table.get(f"{70_000:050}") == ("x" * 50,) and len(table) == 100_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
FULL = """
import random, resource, signal
from cbdata.disk_table import DiskTable, TemporaryTableError
table = DiskTable(("value",))
for number in range(40_000):
    table.add(f"{number:050}", "x" * 50)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    for _ in range(40_000):
        table.get(f"{random.randrange(40_000):050}")
except TemporaryTableError as error:
    print(error)
"""


def output_of(code: str) -> str:
    """What code prints in a process of its own."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, stdout=subprocess.PIPE, check=True, text=True, env=environ
    ).stdout


STEPS = st.lists(st.tuples(st.booleans(), st.text(max_size=2), st.integers(-5, 5)), max_size=40)


@given(STEPS)
def test_a_table_answers_as_a_dict_does(steps: list[tuple[bool, str, int]]) -> None:
    table, known = DiskTable(("value",)), dict[str, int]()
    for replaces, key, value in steps:
        if replaces:
            table.set(key, value)
            known[key] = value
        else:
            assert table.add(key, value) == (key not in known)
            known.setdefault(key, value)
    assert list(table.rows()) == list(known.items())
    assert len(table) == len(known)
    for key in ("", "a", *known):
        assert (key in table) == (key in known)
        assert table.get(key) == (None if key not in known else (known[key],))


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=1)), max_size=30))
def test_lists_answer_as_dicts_of_dicts_do(steps: list[tuple[int, str]]) -> None:
    lists, known = DiskLists(), dict[int, dict[str, int]]()
    for number, (key, name) in enumerate(steps):
        lists.add(key, name, number)
        known.setdefault(key, {}).setdefault(name, number)
    for key in range(4):
        assert list(lists.get(key)) == list(known.get(key, {}).values())


def test_a_table_without_columns_is_a_set() -> None:
    table = DiskTable()
    assert [table.add(key) for key in (1, "1", b"1", 1)] == [True, True, True, False]
    table.set("1")
    assert [row[0] for row in table.rows()] == [1, "1", b"1"]


def test_memory_does_not_grow_with_the_rows() -> None:
    """100,000 rows of 100 bytes are 10 MB, and as a dict some 20; the cache has 2. In a process of
    its own, whose peak nothing else has raised.
    """
    assert int(output_of(GROWING)) < 8_000


def test_a_disk_that_is_full_while_rows_are_read_is_named() -> None:
    """What is read pushes what was written last out of the cache, onto the disk."""
    said = output_of(FULL)
    assert "temporary tables in " in said and "TMPDIR" in said


def test_a_full_disk_names_the_folder() -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    with (
        pytest.raises(FileError, match=r"/somewhere could not be written: .*free space"),
        naming_sqlite(Path("/somewhere")),
    ):
        raise error
    with (
        pytest.raises(SortError, match=r"/somewhere, or what is sorted for it in /.*TMPDIR"),
        naming_sorts(Path("/somewhere")),
    ):
        raise error
    with (
        pytest.raises(TemporaryTableError, match=r"temporary tables in /.* Hint: .*TMPDIR"),
        naming_temporary(),
    ):
        raise error
