"""What is kept of finished completions, and read back whatever a killed job left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.atomic_file import FileError
from cbdata.fill.progress_store import ProgressStore, Stored
from cbdata.fill.requests import RequestKey
from tests.unit.fill.world import ToyBackend, World
from tests.unit.full_disk import full_disk

KEY = RequestKey("trace_a", "ds", 1, "0" * 64, "1" * 64)


def stored(key: RequestKey = KEY, text: str = "Hello.") -> Stored:
    return Stored(key, (5, 4294967295, 0), "stop", text, "vllm", "0.32.0")


def test_what_is_appended_is_found_again_by_trace(tmp_path: Path) -> None:
    other = stored(KEY._replace(trace_id="trace_b"))
    with ProgressStore(tmp_path / "progress", "0-of-1") as store:
        store.append([stored(text="\u2028 \x00 \n"), other])
    with ProgressStore(tmp_path / "progress", "1-of-2") as store:
        assert store.load(["trace_a"]) == {KEY: stored(text="\u2028 \x00 \n")}
        assert store.load(["trace_c"]) == {}


def test_of_two_entries_with_one_key_the_older_counts(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with ProgressStore(tmp_path, "0-of-1") as store:
            store.append([stored(text=text)])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert store.load(["trace_a"])[KEY].text == "first"


def test_a_store_that_keeps_nothing_makes_no_file(tmp_path: Path) -> None:
    with ProgressStore(tmp_path, "0-of-1") as store:
        store.append([])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"mode": "xx"}, {"backend": "colossus"}, {"attempt": "one"}])
def test_an_entry_with_unknown_words_is_no_entry(tmp_path: Path, change: dict[str, Any]) -> None:
    row = orjson.loads(stored().line())
    assert Stored.from_row(row) == stored()
    with pytest.raises(ValueError, match=next(iter(change.values()))):
        Stored.from_row({**row, **change})


@pytest.mark.parametrize(
    "tail",
    [
        b'{"trace_id": "trace_fujitsu_b4_0',
        b"\xff\x00",
        b'{"trace_id": 3}\n',
        b"not json\n",
        b"[]\n",
    ],
)
def test_a_spoiled_line_costs_that_line_alone(world: World, tail: bytes) -> None:
    world.run(ToyBackend())
    (stored,) = (world.folder / "progress").glob("*.jsonl")
    lines = stored.read_bytes().splitlines(keepends=True)
    stored.write_bytes(b"".join(lines[:-1]) + tail)
    backend = ToyBackend()
    world.run(backend)
    assert len(backend.seen) == 1


def test_a_full_disk_names_the_folder_and_costs_no_earlier_completion(tmp_path: Path) -> None:
    folder = tmp_path / "progress"
    with ProgressStore(folder, "0-of-1") as store:
        store.append([stored()])
        size = sum(path.stat().st_size for path in folder.iterdir())
        with (
            full_disk(size + 10),
            pytest.raises(FileError, match=f"{folder} could not be written: File too"),
        ):
            store.append([stored(KEY._replace(attempt=2))])
    again = ProgressStore(folder, "0-of-1").load(["trace_a"])
    assert list(again.values()) == [stored()]
