"""Input in any state: each line comes out as a record or as the reason why it is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from pathlib import Path

import orjson
import pytest

from cbdata.rejects import Reject
from cbdata.sources import SourceError
from cbdata.sources.raw_lines import RawLine, checked_json, parse_object, read_lines, read_whole


def reason(data: bytes, complete: bool = True) -> str:
    with pytest.raises(Reject) as caught:
        parse_object(RawLine(1, data, None, complete))
    return caught.value.reason


def write(folder: Path, data: bytes) -> Path:
    path = folder / "raw.jsonl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": 1', "not_json"),
        (b"[1]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"{}"', "not_an_object"),
        (b'{"a": "x\x00y"}', "nul_byte"),
        ('{"a": 1}'.encode("utf-16-le"), "nul_byte"),
        (b'{"a": "\\ud800"}', "lone_surrogate"),
        (b'{"a": "\\udc00x"}', "lone_surrogate"),
        (b'{"a": "\xed\xa0\x80"}', "not_utf8"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": NaN}', "not_strict_json"),
        (b'{"a": -Infinity}', "not_strict_json"),
        (b'{"a": 1e999}', "not_strict_json"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep"),
        (b'{"a": 1} {"b": 2}', "not_json"),
        (b"\x1b[31m", "not_json"),
        (b'{"a": 1, "b": {}, "a": 1}', "repeated_key"),
        (b'{"x": [{"a": 1, "\\u0061": 2}]}', "repeated_key"),
        (b'{"a": 18446744073709551616}', "big_integer"),
        (b'{"a": [-9223372036854775809]}', "big_integer"),
        (b'{"a": 36893488147419103232}', "big_integer"),
        (b'{"a": ' + b"[" * 210 + b"]" * 210 + b"}", "too_deep"),
    ],
)
def test_lines_that_are_no_record_are_named(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_a_line_cut_off_at_the_end_of_the_file(tmp_path: Path) -> None:
    first, last = read_lines(write(tmp_path, b'{"a": 1}\n{"a": 2, "b'))
    assert parse_object(first) == {"a": 1}
    with pytest.raises(Reject, match="cut_off"):
        parse_object(last)


def test_a_whole_last_line_without_a_newline_is_a_record(tmp_path: Path) -> None:
    assert [parse_object(line) for line in read_lines(write(tmp_path, b'{"a": 1}\n{"a": 2}'))] == [
        {"a": 1},
        {"a": 2},
    ]


def test_line_numbers_byte_order_mark_line_ends_and_blank_lines(tmp_path: Path) -> None:
    lines = list(read_lines(write(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}\r\n')))
    assert [(line.number, line.data) for line in lines] == [
        (1, b'{"a": 1}'),
        (2, b""),
        (3, b""),
        (4, b'{"a": 2}'),
    ]


def test_a_byte_order_mark_of_a_file_that_was_joined_to_another(tmp_path: Path) -> None:
    bom = b"\xef\xbb\xbf"
    lines = read_lines(write(tmp_path, bom + b'{"a": 1}\n' + bom + b'{"a": 2}\n'))
    assert [line.data for line in lines] == [b'{"a": 1}', b'{"a": 2}']


def test_the_largest_integers_are_kept() -> None:
    data = b'{"a": 18446744073709551615, "b": -9223372036854775808, "c": 9007199254740993}'
    assert parse_object(RawLine(1, data, None, True)) == {
        "a": 2**64 - 1,
        "b": -(2**63),
        "c": 2**53 + 1,
    }


def test_a_line_over_the_limit_is_passed_over_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    with open(path, "wb") as handle:
        handle.write(b'{"a": 1}\n{"a": "')
        handle.writelines(b"x" * (1 << 20) for _ in range(100))
        handle.write(b'"}\n{"a": 3}\n')
    tracemalloc.start()
    lines = list(read_lines(path, max_bytes=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line.number for line in lines] == [1, 2, 3]
    assert lines[1].problem is not None and lines[1].problem.reason == "line_too_long"
    assert lines[1].problem.detail == f"{(100 << 20) + 10} bytes, the limit is {1 << 20}"
    assert parse_object(lines[2]) == {"a": 3}
    assert peak < 8 << 20


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    line = b'{"a": "' + b"x" * 91 + b'"}'
    assert len(line) == 100
    assert parse_object(next(read_lines(write(tmp_path, line + b"\n"), max_bytes=100))) == {
        "a": "x" * 91
    }
    (longer,) = read_lines(write(tmp_path, b" " + line + b"\n"), max_bytes=100)
    assert longer.problem is not None and longer.problem.reason == "line_too_long"


@pytest.mark.parametrize("read", [lambda path: next(read_lines(path)), read_whole])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (gzip.compress(gzip.compress(b'{"a": 1}\n', mtime=0), mtime=0), "compressed_file"),
        (bz2.compress(b'{"a": 1}\n'), "compressed_file"),
        (lzma.compress(b'{"a": 1}\n'), "compressed_file"),
        ('{"a": 1}\n'.encode("utf-16"), "utf16_file"),
    ],
)
def test_files_in_another_coding_are_one_reject(
    read, data: bytes, expected: str, tmp_path: Path
) -> None:
    line = read(write(tmp_path, data))
    assert line.number is None and line.problem is not None and line.problem.reason == expected


@pytest.mark.parametrize("read", [lambda path: list(read_lines(path)), read_whole])
def test_a_git_lfs_pointer_is_named(read, tmp_path: Path) -> None:
    pointer = (
        b"version https://git-lfs.github.com/spec/v1\noid"
        b" sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
    )
    with pytest.raises(SourceError, match=r"raw\.jsonl is a git-lfs pointer.*git lfs pull"):
        read(write(tmp_path, pointer))


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl does not exist"):
        list(read_lines(tmp_path / "none.jsonl"))
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_lines(tmp_path))


def test_whole_files_empty_or_too_long_are_rejects(tmp_path: Path) -> None:
    assert read_whole(write(tmp_path, b" \n")).problem.reason == "empty_file"
    assert read_whole(write(tmp_path, b'{"a": 1}'), max_bytes=4).problem.reason == "line_too_long"
    assert list(read_lines(write(tmp_path, b""))) == []


def test_json_that_is_read_but_could_not_be_written_inside_a_record_is_too_deep() -> None:
    def nested(depth: int) -> object:
        value: object = 1
        for _ in range(depth):
            value = [value]
        return value

    deep = nested(246)
    assert orjson.loads(checked_json(deep)) == deep
    with pytest.raises(Reject, match="too_deep"):
        checked_json(nested(247))


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert checked_json({"b": 1, "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":1}'
