"""What ``skeleton_traces`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.config import ConfigError
from cbdata.skeleton_sets import SkeletonSet, named_sets, skeleton_sets, stem_of

BOTH = ("ds", "dr")


def sets(value: str | list[str] | None) -> tuple[SkeletonSet, ...]:
    return skeleton_sets(value, BOTH, lambda name: f"out/traces/{name}.jsonl")


def test_null_is_the_default_set() -> None:
    (only,) = sets(None)
    assert (only.name, only.path, only.stem) == (
        "fujitsu_b4_skeletons",
        "out/traces/fujitsu_b4_skeletons.jsonl",
        "fujitsu_b4",
    )
    assert only.filled == ["fujitsu_b4_ds", "fujitsu_b4_dr"] and not only.by_path


def test_a_list_gives_its_sets_in_order_by_name_and_by_path() -> None:
    found = sets(["b_skeletons", "/data/a_skeletons.jsonl", "c"])
    assert [(part.stem, part.path, part.by_path) for part in found] == [
        ("b", "out/traces/b_skeletons.jsonl", False),
        ("a", "/data/a_skeletons.jsonl", True),
        ("c", "out/traces/c.jsonl", False),
    ]
    assert [stem_of(part.path) for part in found] == ["b", "a", "c"]
    assert sets("b_skeletons, /data/a_skeletons.jsonl,c") == found


def test_a_text_with_a_comma_is_one_set_where_there_is_such_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "one, two"
    folder.mkdir()
    file = folder / "x_skeletons.jsonl"
    assert len(named_sets(str(file))) == 2
    file.write_text("")
    assert named_sets(str(file)) == [str(file)]


def test_a_file_that_is_named_twice_is_one_set() -> None:
    assert len(sets(["a_skeletons", "a_skeletons"])) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["x/a_skeletons.jsonl", "y/a_skeletons.jsonl"], "would both give 'a_ds'"),
        (["a_skeletons", "a"], "would both give 'a_ds'"),
        (["_skeletons"], "gives no data set name"),
        (["a'b_skeletons"], "cannot name a data set"),
        (["{x}/a_skeletons.jsonl"], "holds a brace"),
        (" , ", "names no set"),
    ],
)
def test_sets_that_cannot_be_told_apart_or_named_are_refused(
    value: str | list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        sets(value)
