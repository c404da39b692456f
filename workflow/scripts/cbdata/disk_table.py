"""Values by key on disk: what a pass over a large file must remember, in memory that does not grow.

A dict of a million rows takes half a gigabyte. Here the rows lie in a temporary SQLite database
without a name in TMPDIR, which is gone with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cbdata.atomic_file import FileError

CACHE_KIB = 2048
"""Memory of one table, however many rows it has."""

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}

Key = str | bytes | int
Row = tuple[Any, ...]


@contextlib.contextmanager
def naming_sqlite(path: Path) -> Iterator[None]:
    """Turn SQLite's own words for a disk that takes no more into a FileError for ``path``."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF  # the rest says in which operation
        if code not in _ERRNO:
            raise
        raise FileError(path, OSError(_ERRNO[code], str(error))) from error


class SortError(FileError):
    """A database, or what is sorted for it in TMPDIR, takes no more: SQLite does not say which."""

    def __str__(self) -> str:
        return (
            f"{self.filename}, or what is sorted for it in {tempfile.gettempdir()}, could not be"
            f" written: {self.strerror}. Hint: free space on both file systems, or set output_base"
            " or TMPDIR to a folder with more"
        )


@contextlib.contextmanager
def naming_sorts(path: Path) -> Iterator[None]:
    """As ``naming_sqlite``, for statements that group or sort: SQLite does that in TMPDIR."""
    try:
        with naming_sqlite(path):
            yield
    except FileError as error:
        raise SortError(path, error) from error


def sort_in_tmpdir() -> None:
    """Let SQLite's temporary files lie where Python's do: it looks at TMPDIR too, but not where
    Python does if that is not set.
    """
    os.environ.setdefault("SQLITE_TMPDIR", tempfile.gettempdir())


class TemporaryTableError(FileError):
    """The folder of temporary files takes no more."""

    def __str__(self) -> str:
        return (
            f"temporary tables in {self.filename} could not be written: {self.strerror}. Hint: free"
            " space there, or set TMPDIR to a folder with more (0.5 KB a row)"
        )


@contextlib.contextmanager
def naming_temporary() -> Iterator[None]:
    """Turn what SQLite says of a temporary database into a TemporaryTableError."""
    folder = Path(tempfile.gettempdir())
    try:
        with naming_sqlite(folder):
            yield
    except FileError as error:
        raise TemporaryTableError(folder, error) from error


def temporary_database(schema: str) -> sqlite3.Connection:
    """A database without a name in TMPDIR, for one pass: nothing is journaled or synced.

    Args:
        schema: SQL that makes its tables.

    Raises:
        TemporaryTableError: The folder takes no file.
    """
    sort_in_tmpdir()
    with naming_temporary():
        database = sqlite3.connect("", isolation_level=None)
        database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            f" PRAGMA cache_size=-{CACHE_KIB}; {schema}"
        )
        database.execute("BEGIN")
    return database


def selected(database: sqlite3.Connection, query: str, values: Row = ()) -> Iterator[Row]:
    """Yield the rows of a query, one at a time.

    Args:
        database: One of ``temporary_database``.
        query: The SELECT.
        values: What stands for its question marks.

    Raises:
        TemporaryTableError: What is read pushed what was changed out of the cache, and the folder
            takes no more.
    """
    with naming_temporary():
        found = database.execute(query, values)
    while True:
        with naming_temporary():
            row = found.fetchone()
        if row is None:
            return
        yield row


class DiskTable:
    """Rows of plain values by key, in the order in which the keys came. The database goes with the
    object.

    Values are texts, bytes, numbers or None. Raises TemporaryTableError where the disk takes no
    more.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        """Begin with no row.

        Args:
            columns: Names of the values of a row, as SQL has them; none makes a set of keys.
        """
        names = ", ".join(("key", *columns))
        places = ", ".join("?" * (len(columns) + 1))
        updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
        self._get = f"SELECT {names} FROM rows WHERE key = ?"
        self._all = f"SELECT {names} FROM rows ORDER BY seq"
        self._add = f"INSERT OR IGNORE INTO rows ({names}) VALUES ({places})"
        self._set = f"INSERT INTO rows ({names}) VALUES ({places}) ON CONFLICT (key) DO "
        self._set += f"UPDATE SET {updates}" if updates else "NOTHING"
        kinds = ", ".join(("key UNIQUE NOT NULL", *columns))
        self._db = temporary_database(f"CREATE TABLE rows (seq INTEGER PRIMARY KEY, {kinds});")
        self._count = 0

    def add(self, key: Key, *row: Any) -> bool:
        """Add a row unless its key is there.

        Args:
            key: The key.
            row: A value for each column.

        Returns:
            Whether it was added.
        """
        with naming_temporary():
            added = self._db.execute(self._add, (key, *row)).rowcount > 0
        self._count += added
        return added

    def set(self, key: Key, *row: Any) -> None:
        """Add a row, or put it in the place of the one with its key.

        Args:
            key: The key.
            row: A value for each column.
        """
        self._count += key not in self
        with naming_temporary():
            self._db.execute(self._set, (key, *row))

    def get(self, key: Key) -> Row | None:
        """The row of a key without the key, or None."""
        with naming_temporary():  # what is read may push what was changed out of the cache
            found: Row | None = self._db.execute(self._get, (key,)).fetchone()
        return None if found is None else found[1:]

    def rows(self) -> Iterator[Row]:
        """Every row, its key first, in the order in which the keys came. Not to be changed
        meanwhile.
        """
        yield from selected(self._db, self._all)

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return self._count


class DiskLists:
    """Several values by key, in the order in which they came, without repeats. As DiskTable in all
    else.
    """

    def __init__(self) -> None:
        self._db = temporary_database(
            "CREATE TABLE items (seq INTEGER PRIMARY KEY, key, name, value, UNIQUE (key, name));"
        )

    def add(self, key: Key, name: Key, value: Any = None) -> None:
        """Add a value to those of a key, unless one of its name is there.

        Args:
            key: The key.
            name: What tells the value from the others of the key.
            value: The value: text, bytes, a number or None.
        """
        with naming_temporary():
            self._db.execute(
                "INSERT OR IGNORE INTO items (key, name, value) VALUES (?, ?, ?)",
                (key, name, value),
            )

    def get(self, key: Key) -> Iterator[Any]:
        """Yield the values of a key; nothing where it has none."""
        query = "SELECT value FROM items WHERE key = ? ORDER BY seq"
        for (value,) in selected(self._db, query, (key,)):
            yield value
