"""No single changed number of a loss mask goes unnoticed: weight, label, count, sample weight."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.validation.run import validate
from tests.records import Corpus

CORPUS = Corpus(pairs=1, validation_pairs=0)


def check(folder: Path, changed: Corpus) -> int:
    return validate([changed.write(folder).folder]).failed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where numbers stand in a record."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() for place in places(inner, (*path, key))]
    if isinstance(value, list):
        return [
            place for index, inner in enumerate(value) for place in places(inner, (*path, index))
        ]
    return [path] if number(value) else []


MASK_PLACES = places(CORPUS.masks[0])


def change(record: dict[str, Any], path: tuple[Any, ...], by: float) -> None:
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] += by


def test_the_unchanged_files_pass(folder: Path) -> None:
    assert check(folder, CORPUS) == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(MASK_PLACES), by=st.sampled_from([1, -1]))
def test_any_number_of_a_mask(folder: Path, path: tuple[Any, ...], by: int) -> None:
    changed = copy.deepcopy(CORPUS)
    change(changed.masks[0], path, by)
    assert check(folder, changed) > 0, path
