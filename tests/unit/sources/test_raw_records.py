"""The same records come out of every form of a file that can be told from its content."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.sources import SourceError
from cbdata.sources.raw_lines import parse_object
from cbdata.sources.raw_records import read_records

RECORDS = [{"a": 1, "text": "x\n[{é"}, {"a": 2, "b": {"c": [1, {}]}}, {"a": 3}]


def zstd(data: bytes) -> bytes:
    return pyarrow.compress(data, "zstd", asbytes=True)


LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
PRETTY = "\n".join(json.dumps(record, indent=2) for record in RECORDS).encode()
FORMS: dict[str, tuple[bytes, list[int]]] = {
    "lines": (LINES, [1, 2, 3]),
    "lines_crlf": (LINES.replace(b"\n", b"\r\n"), [1, 2, 3]),
    "array": (json.dumps(RECORDS).encode(), [1, 2, 3]),
    "array_a_line_each": (b"[\n" + LINES.strip().replace(b"\n", b",\n") + b"\n]\n", [1, 2, 3]),
    "array_printed": (json.dumps(RECORDS, indent=4).encode() + b"\n\n", [1, 2, 3]),
    "array_compact": (json.dumps(RECORDS, separators=(",", ":")).encode(), [1, 2, 3]),
    "values_printed": (PRETTY, [1, 5, 14]),
    "bom": (b"\xef\xbb\xbf" + LINES, [1, 2, 3]),
    "bom_array": (b"\xef\xbb\xbf" + json.dumps(RECORDS, indent=1).encode(), [1, 2, 3]),
    "blank_first": (b"\n \n" + json.dumps(RECORDS).encode(), [1, 2, 3]),
}
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip_in_parts": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "zstd": zstd,
    "zstd_in_parts": lambda data: zstd(data[:9]) + zstd(data[9:]),
}


def write(folder: Path, data: bytes, name: str = "raw.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def reasons(path: Path, **options: int) -> list[str | None]:
    """The reason of each record that is none, None for a record."""
    found: list[str | None] = []
    for line in read_records(path, **options):
        try:
            parse_object(line)
        except Reject as why:
            found.append(why.reason)
        else:
            found.append(None)
    return found


@pytest.mark.parametrize("name", ["raw.jsonl", "raw.ndjson", "raw.json", "raw.jsonl.gz", "raw"])
@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records(
    form: str, compression: str, name: str, tmp_path: Path
) -> None:
    data, numbers = FORMS[form]
    lines = list(read_records(write(tmp_path, COMPRESSED[compression](data), name)))
    assert [parse_object(line) for line in lines] == RECORDS
    assert [line.number for line in lines] == numbers


@pytest.mark.parametrize("name", ["run.json", "run.json.gz", "RUN.JSON"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("compression", COMPRESSED)
def test_one_object_in_a_json_file_is_the_file(
    compression: str, indent: int | None, name: str, tmp_path: Path
) -> None:
    data = COMPRESSED[compression](json.dumps(RECORDS[1], indent=indent).encode())
    (line,) = read_records(write(tmp_path, data, name))
    assert line.number is None and parse_object(line) == RECORDS[1]


def test_one_printed_object_in_another_file_begins_in_its_line(tmp_path: Path) -> None:
    (line,) = read_records(write(tmp_path, b"\n" + json.dumps(RECORDS[1], indent=2).encode()))
    assert line.number == 2 and parse_object(line) == RECORDS[1]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # lines that are arrays: each is a bad record, and none is taken apart
        (b'[{"a": 1}]\n[{"a": 2}]\n', ["not_an_object", "not_an_object"]),
        (b'[1]\n{"a": 2}\n', ["not_an_object", None]),
        # a first line that was damaged does not change how the others are read
        (b'{"a": {"b": 1}\n{"a": 2}\n', ["not_json", None]),
        (b'{"a": "x\n{"a": 2}\n', ["not_json", None]),
        (b'{"a": 1,\n{"a": 2}\n{"a": 3}\n', ["not_json", None, None]),
        (b'[{"a": 1},\n{"a": 2}\n', [None, "cut_off"]),
        # values over many lines, one of them damaged
        (b'{\n"a": 1\n}\n{\n"a" 2\n}\n{\n"a": 3\n}\n', [None, "not_json", None]),
        (b'{\n"a": 1\n}\n{\n"a": 2', [None, "cut_off"]),
        # arrays
        (b'[{"a": 1}, 2, null, [], "x", {"a": 1}]', [None, *["not_an_object"] * 4, None]),
        (b'[{"a": 1}, {"a" 2}, {"a": 3}]', [None, "not_json", None]),
        (b'[{"a": 1}]\ngarbage', ["not_an_object", "cut_off"]),
        (b'[\n{"a": 1}\n]\n{"b": 2}\n', [None, None]),
        (b"[]", ["empty_file"]),
        (b"[ \n]\n", ["empty_file"]),
        (b"\x1f\x8b...", ["damaged_file"]),
        (b"", ["empty_file"]),
        (b" \n\t\n", ["empty_file"]),
        (b"null", ["not_an_object"]),
        (b"x,y\n1,2\n", ["not_json", "not_json"]),
    ],
)
def test_what_is_not_told_is_read_line_by_line(
    data: bytes, expected: list[str | None], tmp_path: Path
) -> None:
    assert reasons(write(tmp_path, data)) == expected


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_damaged_file_is_read_up_to_the_damage(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """What cannot be read is one reject, however many records it held."""
    rows = [{"n": number, "x": f"{number * 7919:x}" * 30} for number in range(20_000)]
    data = compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    for broken in (data[: len(data) // 2], data[:-3], data + b"XXXX"):
        found = reasons(write(tmp_path, broken))
        assert found[-1] == "damaged_file" and set(found[:-1]) <= {None}
    assert len(reasons(write(tmp_path, data[: len(data) // 2]))) > 5000


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_damage_in_an_array_and_in_a_document(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    data = compress(json.dumps([{"n": number} for number in range(100_000)]).encode())[:-200]
    assert reasons(write(tmp_path, data))[-1] == "damaged_file"
    data = compress(json.dumps({"n": list(range(10_000))}).encode())[:-20]
    assert reasons(write(tmp_path, data, "run.json")) == ["damaged_file"]


def test_an_error_of_the_system_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails must fail the job, which is then tried again."""

    def failing(self: object, buffer: object) -> int:
        raise OSError(5, "Input/output error")

    path = write(tmp_path, LINES)
    monkeypatch.setattr("cbdata.counted_file._CountedFile.readinto", failing)
    with pytest.raises(OSError, match="Input/output error"):
        list(read_records(path))


def test_a_record_over_the_limit(tmp_path: Path) -> None:
    long = {"a": "x" * 200}
    for data in (
        json.dumps([{"a": 1}, long, {"a": 2}]).encode(),
        b"\n".join(json.dumps(each, indent=1).encode() for each in ({"a": 1}, long, {"a": 2})),
        b"\n".join(json.dumps(each).encode() for each in ({"a": 1}, long, {"a": 2})),
    ):
        assert reasons(write(tmp_path, data), max_bytes=100) == [None, "line_too_long", None]
    assert reasons(write(tmp_path, json.dumps(long).encode(), "a.json"), max_bytes=100) == [
        "line_too_long"
    ]


def test_memory_is_flat_whatever_the_form(tmp_path: Path) -> None:
    rows = [{"n": number, "x": "y" * 1000} for number in range(3000)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    array = b"[" + lines.strip().replace(b"\n", b",\n") + b"]"
    for data in (lines, array, gzip.compress(array, 1), zstd(lines)):
        path = write(tmp_path, data)
        tracemalloc.start()
        assert sum(1 for _ in read_records(path)) == 3000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 << 20


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_compressed_pointer_is_what_it_is(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    with pytest.raises(SourceError, match="git-lfs pointer"):
        list(read_records(write(tmp_path, pointer)))
    assert reasons(write(tmp_path, compress(pointer))) == ["not_json"] * 3


@given(data=st.binary(max_size=60), name=st.sampled_from(["raw.jsonl", "raw.json", "raw.jsonl.gz"]))
def test_any_bytes_are_read_without_a_crash(
    data: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with suppress(SourceError):  # hypothesis finds out how a git-lfs pointer begins
        reasons(write(tmp_path_factory.mktemp("any"), data, name))


@pytest.mark.parametrize("damage", [b"O\x17\xeb", b'"', b",", b"}", b"{", b" x"])
def test_damage_behind_the_first_line_costs_that_line_alone(tmp_path: Path, damage: bytes) -> None:
    lines = LINES.splitlines()
    path = write(tmp_path, b"\n".join([lines[0] + damage, *lines[1:], b""]))
    assert [reason is None for reason in reasons(path)] == [False, True, True]
    assert [line.number for line in read_records(path)] == [1, 2, 3]
