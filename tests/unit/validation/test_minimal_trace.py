"""The minimal trace of docs/data_contract.md: valid as it stands, and every field of it needed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import orjson

from cbdata.schemas import all_errors, first_error
from cbdata.validation.run import validate
from tests.records import write_jsonl


def minimal_trace(repo: Path) -> dict[str, Any]:
    text = (repo / "docs" / "data_contract.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    trace: dict[str, Any] = orjson.loads(block)
    return trace


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every field of an object."""
    if isinstance(value, list):
        return [path for index, each in enumerate(value) for path in paths(each, (*at, index))]
    if not isinstance(value, dict):
        return []
    return [path for key in value for path in ((*at, key), *paths(value[key], (*at, key)))]


def test_it_passes_every_check_as_a_file_of_its_own(repo: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    write_jsonl(path, [minimal_trace(repo)])
    findings = validate([path])
    assert findings.failed == 0, findings.table()
    assert findings.results["trace_schema"].checked == 1


def test_each_of_its_fields_is_needed(repo: Path) -> None:
    whole = minimal_trace(repo)
    fields = paths(whole)
    assert ("training", "mixture", "stage_tags") in fields
    for path in fields:
        trace = copy.deepcopy(whole)
        place: Any = trace
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        error = first_error("trace_v1", trace)
        assert error is not None and path[-1] in error, path
        assert path[-1] in all_errors("trace_v1", trace)
