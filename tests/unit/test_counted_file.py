"""How much of some files has been read."""

from __future__ import annotations

import gzip
from pathlib import Path

from cbdata.counted_file import ShareRead, open_counted
from cbdata.jsonl import read_records
from cbdata.lookup import read_places
from cbdata.sources.raw_records import read_records as read_raw

LINE = b'{"text": "' + b"x" * 4086 + b'"}\n'
"""4,099 bytes."""


def test_the_share_grows_with_what_is_read_and_a_second_reading_adds_nothing(
    tmp_path: Path,
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a" * 3_000_000)
    two.write_bytes(b"b" * 1_000_000)
    share = ShareRead([one, str(two), tmp_path / "missing"])
    assert share() == 0
    for _ in range(2):
        with open_counted(one) as handle:
            while handle.read(1 << 20):
                pass
    assert share() == 0.75
    with open_counted(str(two)) as handle:
        assert handle.read() == b"b" * 1_000_000
    assert share() == 1
    assert ShareRead([one])() == 0, "counted anew"
    assert ShareRead([tmp_path / "missing"])() is None and ShareRead([])() is None


def test_every_reader_of_the_library_is_seen(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(LINE * 1000)
    packed.write_bytes(gzip.compress(LINE * 1000))
    for read, path in (
        (read_records, plain),
        (read_places, plain),
        (read_raw, plain),
        (read_raw, packed),
    ):
        share, seen = ShareRead([path]), []
        for _ in read(path):
            seen.append(share())
        assert seen == sorted(seen) and seen[-1] == 1
        if path is plain and read is not read_raw:
            assert 0 < seen[0] < 0.5, "while it is read"
