"""The bytes of a raw file, decompressed, as a stream."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cbdata.counted_file import open_counted
from cbdata.rejects import Reject
from cbdata.sources import SourceError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
UTF8_BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 4096

_DECOMPRESSED_BYTES = 1 << 16
"""What is read at once of a compressed file; of a damaged one so much before the damage is lost."""

_UTF16 = "the file is UTF-16, expected UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`"
_UNREADABLE = {
    b"\xff\xfe": ("utf16_file", _UTF16),
    b"\xfe\xff": ("utf16_file", _UTF16),
    GZIP_MAGIC: ("compressed_file", "the file is compressed twice; unpack it with `gzip -d`"),
    ZSTD_MAGIC: ("compressed_file", "the file is compressed twice; unpack it with `zstd -d`"),
    b"BZh": ("compressed_file", "the file is compressed by bzip2; unpack it with `bzip2 -d`"),
    b"\xfd7zXZ": ("compressed_file", "the file is compressed by xz; unpack it with `xz -d`"),
    b"PK\x03\x04": ("compressed_file", "the file is a zip archive; unpack it"),
    b"7z\xbc\xaf": ("compressed_file", "the file is a 7z archive; unpack it"),
}
"""First bytes, after decompression, of files that hold no readable line: reason and detail."""
_TAR = (257, b"ustar")


@contextmanager
def open_raw(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file; those of one compressed by gzip or zstd, told by its first bytes, are
    decompressed.

    Raises SourceError for a missing file, a folder, and a git-lfs pointer. Damage of a compressed
    file shows only while it is read, as one of ``DAMAGE``.
    """
    with _opened(path) as handle:
        head = handle.read(HEAD_BYTES)
        handle.seek(0)
        if head.startswith(LFS_POINTER):
            raise SourceError(
                f"{path} is a git-lfs pointer, not the data it stands for. Hint: run `git lfs"
                " install && git lfs pull` in the repository that it came from, or download the"
                " file"
            )
        if head.startswith(GZIP_MAGIC):
            import gzip

            with gzip.open(handle, "rb") as unpacked:
                yield io.BufferedReader(unpacked, _DECOMPRESSED_BYTES)
        elif head.startswith(ZSTD_MAGIC):
            import pyarrow

            with pyarrow.CompressedInputStream(handle, "zstd") as unpacked:
                yield io.BufferedReader(unpacked, _DECOMPRESSED_BYTES)
        else:
            yield handle


DAMAGE = (EOFError, zlib.error, OSError)
"""What reading a damaged compressed file raises."""


def damaged(error: Exception) -> Reject:
    """The reject of what is left of a file that could not be read on. An error of the operating
    system is no damage of the file, and is raised again.
    """
    if isinstance(error, OSError) and error.errno:
        raise error
    return Reject(
        "damaged_file",
        f"the file could not be read on from here ({ascii(str(error))[1:-1]}): it is damaged or"
        " cut off",
    )


def whole_file_problem(head: bytes) -> Reject | None:
    """What makes every line of a file unreadable, told by its first bytes after decompression."""
    for magic, (reason, detail) in _UNREADABLE.items():
        if head.startswith(magic):
            return Reject(reason, detail)
    if head.startswith(_TAR[1], _TAR[0]):
        return Reject("compressed_file", "the file is a tar archive; unpack it with `tar -x`")
    return None


def _opened(path: Path) -> io.BufferedReader:
    try:
        return open_counted(path)
    except FileNotFoundError as error:
        raise SourceError(
            f"{path} does not exist. Hint: check the path of the source in the config"
        ) from error
    except (IsADirectoryError, PermissionError) as error:
        raise SourceError(
            f"{path} cannot be read: expected a readable file ({error.strerror}). Hint: check the"
            " path in the config"
        ) from error
