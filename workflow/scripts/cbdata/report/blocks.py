"""Compressed blocks of records inside the page, which it opens on demand."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import orjson

BLOCK_BYTES = 300_000


class BlockWriter:
    """Collects records into compressed blocks; ``add`` returns the place ``(block, slot)`` of a
    record.
    """

    def __init__(self, block_bytes: int = BLOCK_BYTES) -> None:
        self.blocks: list[str] = []
        self._block_bytes = block_bytes
        self._records: list[bytes] = []
        self._size = 0

    def add(self, record: dict[str, Any]) -> tuple[int, int]:
        """Append one record."""
        if self._size >= self._block_bytes:
            self.flush()
        data = orjson.dumps(record)
        self._records.append(data)
        self._size += len(data)
        return len(self.blocks), len(self._records) - 1

    def flush(self) -> None:
        """Close the open block."""
        if self._records:
            squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            data = squeeze.compress(b"[" + b",".join(self._records) + b"]") + squeeze.flush()
            self.blocks.append(base64.b64encode(data).decode())
        self._records, self._size = [], 0
