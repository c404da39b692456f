"""Files of the wrong kind are told by their first bytes; a bad line alone is not."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbdata.config import ConfigError
from cbdata.first_look import (
    check_folders,
    check_json_objects,
    check_raw,
    check_tokenizer,
    check_traces,
)

LINE = b'{"messages": []}\n'


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), out)
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jsonl", LINE)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (parquet, "a Parquet file"),
        (zipped, "a zip archive"),
        (lambda: gzip.compress(LINE, mtime=0), "compressed by gzip"),
        (lambda: bz2.compress(LINE), "compressed by bzip2"),
        (lambda: lzma.compress(LINE), "compressed by xz"),
        (lambda: LINE.decode().encode("utf-16"), "UTF-16 text"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (lambda: b"id,prompt\n1,x\n", "begins with 'id,prompt'), perhaps CSV"),
        (lambda: b"\xef\xbb\xbfid;prompt\r\n", "perhaps CSV"),
        (lambda: b"<!DOCTYPE html>\n<html>", "a web page or XML"),
        (lambda: b'[{"a": 1}]', "one JSON array"),
        (lambda: b"\n\n\x00\xff" * 3000, "no JSON"),
    ],
)
def test_another_kind_of_file_is_named_with_the_fix(
    tmp_path: Path, content: Callable[[], bytes], kind: str
) -> None:
    path = tmp_path / "raw"
    path.write_bytes(content())
    with pytest.raises(ConfigError) as caught:
        check_json_objects("fujitsu_b4_path", path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"fujitsu_b4_path: '{path}' is ")
    assert kind in problem
    assert "Fix:" in problem
    assert problem.isprintable(), "one line, whatever the file holds"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        LINE,
        b"\xef\xbb\xbf" + LINE,
        b"\r\n \t" + LINE,
        b"one bad line\n" + LINE,
        b"\x00\x00\n" + LINE,
        b'{\n  "pretty": 1\n}',
        b'{"cut off',
        b'{"long": "' + b"x" * 9000,
    ],
)
def test_what_may_hold_records_passes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "raw"
    path.write_bytes(content)
    check_json_objects("fujitsu_b4_path", path)


def test_a_missing_file_is_for_whoever_needs_it(tmp_path: Path) -> None:
    check_json_objects("fujitsu_b4_path", tmp_path / "nowhere")


def test_a_file_of_something_else_than_traces_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(LINE)
    check_traces("input_traces", path)
    path.write_bytes(json.dumps({"render_id": "x", "input_ids": [1]}).encode() + b"\n")
    with pytest.raises(ConfigError, match=r"line 1 has \['render_id', 'input_ids'\], no messages"):
        check_traces("input_traces", path)


def test_a_tokenizer_s_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tokenizer's folder: it has"):
        check_tokenizer("tokenizer", tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "tokenizer_config.json").write_bytes(b"{}")
    with pytest.raises(ConfigError, match="' is a git-lfs pointer"):
        check_tokenizer("tokenizer", tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b'{"version": "1.0"}')
    check_tokenizer("tokenizer", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b'[{"a": 1}]',
        b'[\n {"a": 1}\n]',
        b"",
        LINE,
        gzip.compress(LINE, mtime=0),
        gzip.compress(b'[{"a": 1}]', mtime=0),
        pa.compress(LINE, "zstd", asbytes=True),
        gzip.compress(LINE, mtime=0)[:20],
        gzip.compress(b"", mtime=0),
    ],
)
def test_raw_files_may_be_arrays_and_compressed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "raw"
    path.write_bytes(content)
    check_raw("agentdojo_path", path)
    check_raw("agentdojo_path", tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"id,prompt\n1,x\n", mtime=0), "perhaps CSV"),
        (gzip.compress(gzip.compress(LINE, mtime=0), mtime=0), "compressed by gzip"),
        (pa.compress(b"<html>", "zstd", asbytes=True), "a web page or XML"),
        (bz2.compress(LINE), "compressed by bzip2"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"id,prompt\n1,x\n", "perhaps CSV"),
    ],
)
def test_other_raw_files_are_named_with_the_fix(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "raw"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=kind):
        check_raw("agentdojo_path", path)


@pytest.mark.parametrize("check", [check_json_objects, check_traces])
def test_traces_are_plain_lines(tmp_path: Path, check: Callable[[str, Path], None]) -> None:
    path = tmp_path / "cases.json"
    path.write_bytes(b'[{"messages": []}]')
    with pytest.raises(ConfigError, match="one JSON array"):
        check("input_traces", path)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"render_id": "r", "input_ids": [1] * 9000}, "but of renders"),
        ({"lossmask_id": "m", "render_id": "r", "loss_mask": [0] * 9000}, "but of loss masks"),
        ({"stage": "render", "reason": "too_long"}, "but of rejects"),
    ],
)
def test_the_workflow_s_other_files_are_no_traces_however_long_their_rows(
    tmp_path: Path, record: dict[str, object], kind: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=f"input_traces: .*no file of traces {kind}"):
        check_traces("input_traces", path)


def test_a_file_or_a_broken_link_where_a_folder_must_be(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/lossmasks").write_text("")
    (tmp_path / "data/link").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    (tmp_path / "real").symlink_to("data")
    with pytest.raises(ConfigError) as caught:
        check_folders(
            {
                "output_base": [
                    f"{tmp_path}/data/{name}" for name in ("lossmasks/by_step", "link", "traces")
                ],
                "log_dir": [f"{tmp_path}/file/logs/benchmarks"],
            }
        )
    assert [problem.split(" is no folder")[0] for problem in caught.value.problems] == [
        f"output_base: '{tmp_path}/data/lossmasks'",
        f"output_base: '{tmp_path}/data/link'",
        f"log_dir: '{tmp_path}/file'",
    ]
    check_folders({"output_base": [f"{tmp_path}/real/traces"], "log_dir": ["new/logs"]})
