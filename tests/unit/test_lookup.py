"""Random access by id into JSON Lines files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.jsonl import JsonlError
from cbdata.lookup import Place, PlaceTable, RecordIndex, read_places


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_records_of_several_files_are_found_by_id(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", '{"id": "x", "n": 1}', '{"id": "ü", "n": 2}')
    second = write(tmp_path / "b.jsonl", '{"id": "z", "n": 3}')
    with RecordIndex([first, second], "id") as index:
        assert [index.get(name) for name in ("z", "x", "ü", "nothing")] == [
            {"id": "z", "n": 3},
            {"id": "x", "n": 1},
            {"id": "ü", "n": 2},
            None,
        ]
        assert len(index) == 3 and "x" in index and str(index.place("ü")) == f"{first}:2"


def test_places_cover_the_file_byte_by_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": "ä"}', "{}")
    places = [place for place, _ in read_places(path)]
    assert [(place.line, place.offset, place.length) for place in places] == [
        (1, 0, 13),
        (2, 13, 3),
    ]
    table = PlaceTable()
    assert table.add("one", places[0], about=[1]) and not table.add("one", places[1])
    assert table.find("one") == (places[0], [1])
    with RecordIndex.of(table) as index:
        assert index.get("one") == {"id": "ä"} and index.place("two") is None
    assert Place.unpack(places[1].packed()) == places[1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ('{"id": "x"}', '{"id": "x"}'),
            (
                r"a.jsonl:2: expected id values to differ, got x. Hint: it stands at .*a.jsonl:1"
                r" already"
            ),
        ),
        (('{"id": "x"}', "{}"), r"a.jsonl:2: expected a record with id, got None"),
        (('{"id": "x"}', "{"), r"a.jsonl:2: expected a JSON object"),
        (("[1]",), r"a.jsonl:1: expected a JSON object, got list"),
    ],
)
def test_what_cannot_be_indexed_says_where(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(JsonlError, match=message):
        RecordIndex([write(tmp_path / "a.jsonl", *lines)], "id")
