"""Whether a file of weights is whole, as far as its first bytes tell."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

LFS_POINTER = b"version https://git-lfs"
LONGEST_HEADER = 100_000_000
"""Bytes: what the safetensors library allows for the header of a file."""


def fault_of(path: Path) -> str | None:
    """What is wrong with a file of weights; None if it is whole, or of a kind that does not tell
    how long it must be.

    Args:
        path: The file.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(len(LFS_POINTER))
            if not head:
                return "is empty"
            if head == LFS_POINTER:
                return "is a git-lfs pointer, not the weights"
            if path.suffix != ".safetensors":
                return None
            length = int.from_bytes(head[:8], "little")
            handle.seek(8)
            header = handle.read(length) if length <= LONGEST_HEADER else b""
            size = os.fstat(handle.fileno()).st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return _safetensors_fault(length, header, size)


def _safetensors_fault(length: int, header: bytes, size: int) -> str | None:
    """A safetensors file is the length of its header (8 bytes), the header, and the tensors, whose
    places the header names.
    """
    if length <= LONGEST_HEADER and len(header) < length:
        return f"is cut short: {size:,} bytes, and its header alone is to be {length:,} long"
    try:
        tensors = orjson.loads(header)
        ends = [
            tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"
        ]
        whole = 8 + length + max(ends, default=0)
    except (orjson.JSONDecodeError, AttributeError, KeyError, IndexError, TypeError):
        return "is no safetensors file: its header cannot be read"
    if size < whole:
        return f"is cut short: {size:,} bytes of {whole:,}"
    return None
