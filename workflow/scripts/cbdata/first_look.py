"""Is that a file of the right kind? Told by its first bytes while a run is planned, so that a wrong
path costs a message and not a job, or the files that the job would replace.

Only what can be no input at all is refused. A single bad line is for the stage that reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from cbdata.config import ConfigError
from cbdata.sources import SourceError
from cbdata.sources.raw_bytes import (
    DAMAGE,
    GZIP_MAGIC,
    HEAD_BYTES,
    LFS_POINTER,
    UTF8_BOM,
    ZSTD_MAGIC,
    open_raw,
)

# First bytes of files that are mistaken for JSON Lines, and what to do with them.
KINDS = {
    LFS_POINTER: "a git-lfs pointer, not the data it stands for: run `git lfs pull` where it is",
    b"PAR1": "a Parquet file: write it as JSON Lines",
    GZIP_MAGIC: "compressed by gzip: unpack it with `gzip -d`",
    ZSTD_MAGIC: "compressed by zstd: unpack it with `zstd -d`",
    b"\xfd7zXZ": "compressed by xz: unpack it with `xz -d`",
    b"BZh": "compressed by bzip2: unpack it with `bzip2 -d`",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\xff\xfe": "UTF-16 text: convert it with `iconv -f UTF-16 -t UTF-8`",
    b"\xfe\xff": "UTF-16 text: convert it with `iconv -f UTF-16 -t UTF-8`",
    b"\x89HDF": "an HDF5 file: write it as JSON Lines",
}


OWN_KINDS = {"lossmask_id": "loss masks", "render_id": "renders", "reason": "rejects"}
"""A key of the workflow's own files that are mistaken for traces -> what they hold, in the order in
which they are looked for: loss masks name their render too.
"""
_FIRST_LINE_BYTES = 64 << 20


def check_raw(key: str, path: str | Path) -> None:
    """Refuse a file that cannot hold raw records, in whatever form the sources read.

    Files pass that are empty, damaged, or cannot be read: the stage says more about them.

    Args:
        key: configuration key that named the file, for the message.
        path: the file; the first 4,096 bytes of what it holds are read.

    Raises:
        ConfigError: nothing in these bytes begins like an object or an array.
    """
    try:
        with open_raw(Path(path)) as handle:
            head = handle.read(HEAD_BYTES)
    except (SourceError, *DAMAGE):
        head = _head(path)
        if head.startswith((GZIP_MAGIC, ZSTD_MAGIC)):
            return
    _check(key, path, head, arrays=True)


def check_json_objects(key: str, path: str | Path) -> None:
    """Refuse a file that cannot hold JSON objects.

    Empty files pass, and those that cannot be read: the stage says more about them.

    Args:
        key: configuration key that named the file, for the message.
        path: the file; its first 4,096 bytes are read.

    Raises:
        ConfigError: no line in these bytes begins like an object.
    """
    _check(key, path, _head(path), arrays=False)


def _check(key: str, path: str | Path, head: bytes, *, arrays: bool) -> None:
    for magic, kind in KINDS.items():
        if head.startswith(magic):
            raise _wrong(key, path, kind)
    lines = [line.strip() for line in head.removeprefix(UTF8_BOM).splitlines()]
    lines = [line for line in lines if line]
    if not lines or any(line.startswith(b"{") for line in lines):
        return
    start = ascii(lines[0][:60].decode("utf-8", "replace"))
    if lines[0].startswith(b"[") and arrays:
        return
    if lines[0].startswith(b"["):
        kind = f"one JSON array ({start}): write one object a line, e.g. with `jq -c '.[]'`"
    elif lines[0].startswith(b"<"):
        kind = f"a web page or XML ({start}): download the file itself"
    else:
        kind = f"no JSON (it begins with {start}), perhaps CSV: write it as JSON Lines"
    raise _wrong(key, path, kind)


def check_traces(key: str, path: str | Path) -> None:
    """Refuse a file that cannot hold traces: besides the above, a first line of something else.

    Args:
        key: configuration key that named the file, for the message.
        path: the file; its first line is read, up to 64 MiB of it.

    Raises:
        ConfigError: a file of another kind, or a first object without ``messages``.
    """
    check_json_objects(key, path)
    try:
        with open(path, "rb") as handle:
            record = orjson.loads(handle.readline(_FIRST_LINE_BYTES))
    except (OSError, orjson.JSONDecodeError):
        return
    if not isinstance(record, dict) or "messages" not in record:
        keys = ascii(list(record)[:5]) if isinstance(record, dict) else type(record).__name__
        kind = next((kind for id_key, kind in OWN_KINDS.items() if id_key in record), None)
        what = f"no file of traces but of {kind}" if kind else "no file of traces"
        raise _wrong(key, path, f"{what} (line 1 has {keys}, no messages)")


def check_folders(folders: Mapping[str, Iterable[str]]) -> None:
    """Refuse folders that cannot be made, because a file has the name of one of them or of a folder
    above it.

    Args:
        folders: configuration key, for the message -> the folders that it puts files in.

    Raises:
        ConfigError: names every such file with its key.
    """
    found = {
        path: key
        for key, below in folders.items()
        for folder in below
        for path in (Path(folder), *Path(folder).parents)
        if os.path.lexists(path) and not path.is_dir()
    }
    if found:
        raise ConfigError(
            [
                f"{key}: {str(path)!r} is no folder, and files must be written below it. Fix: move"
                f" it away, or set {key} to another folder"
                for path, key in found.items()
            ]
        )


def check_tokenizer(key: str, folder: str | Path) -> None:
    """Refuse a folder that cannot be a tokenizer's; whether it suits the renderer is seen later.

    Args:
        key: configuration key that named the folder, for the message.
        folder: where tokenizer.json and tokenizer_config.json must lie.

    Raises:
        ConfigError: one of them is missing, or is no JSON object.
    """
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = Path(folder) / name
        if not path.is_file():
            raise _wrong(key, folder, f"no tokenizer's folder: it has no {name}")
        check_json_objects(key, path)


def _head(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(HEAD_BYTES)
    except OSError:
        return b""


def _wrong(key: str, path: str | Path, kind: str) -> ConfigError:
    return ConfigError([f"{key}: {str(path)!r} is {kind}. Fix: give the right file to {key}"])
