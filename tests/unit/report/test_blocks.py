"""Compressed blocks of records."""

from __future__ import annotations

import base64
import zlib

import orjson

from cbdata.report.blocks import BlockWriter


def test_blocks_close_when_they_are_full() -> None:
    writer = BlockWriter(block_bytes=20)
    places = [writer.add({"n": number}) for number in range(7)]
    writer.flush()
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert len(writer.blocks) == 3
    opened = [
        orjson.loads(zlib.decompress(base64.b64decode(block), -zlib.MAX_WBITS))
        for block in writer.blocks
    ]
    assert [opened[block][slot]["n"] for block, slot in places] == list(range(7))
