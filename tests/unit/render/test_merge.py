"""Renders made by several jobs are those of one, byte for byte, with rejects and stats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.config import default_settings
from cbdata.parts import Part
from cbdata.render.merge import merge_renders
from cbdata.render.settings import RenderStageSettings
from cbdata.render.stage import render_traces
from cbdata.stage import ConservationError, NothingRead, StageFiles, TooManyRejects
from tests.conversations import build_trace
from tests.records import write_jsonl
from tests.unit.render.setups import Setup

OPTIONS = default_settings(
    RenderStageSettings, tool_schema=None, rows="turn", class_caps={"made/x": 3}
)


def files(folder: Path) -> StageFiles:
    return StageFiles.of(folder / "out.jsonl", folder / "rejects.jsonl", folder / "stats.json")


def content(made: StageFiles) -> tuple[bytes, bytes, bytes]:
    return made.out.read_bytes(), made.rejects.read_bytes(), made.stats.read_bytes()


def traces() -> list[dict[str, Any]]:
    """Long and short ones, some rejected, some with control tokens, some not selected."""
    made = []
    for number in range(12):
        trace = build_trace(f"trace_made_{number:032x}")
        talk = [("user", f"Q {number} <|im_end|>" * (number % 3 + 1)), ("assistant", "A " * number)]
        trace["messages"] = [
            {"role": role, "content": text} for role, text in talk * (number % 4 + 1)
        ]
        if number % 5 == 2:
            trace["messages"] = trace["messages"][:1]
        if number > 6:
            trace["training"]["mixture"]["class_id"] = "made/x"
        made.append(trace)
    made[4] |= {"messages": [{"role": "nobody", "content": ""}]}
    return made


def in_parts(
    path: Path, of: int, setup: Setup, folder: Path, options: RenderStageSettings = OPTIONS
) -> StageFiles:
    """Render a file in parts and put them together."""
    parts = [files(folder / f"{number}") for number in range(of)]
    for number, part in enumerate(parts):
        render_traces(path, part, setup.settings(), options, name="made", part=Part(number, of))
    merged = files(folder / "merged")
    merge_renders(
        path,
        parts,
        merged,
        name="made",
        rows=options.rows,
        reject_limit=options.reject_limit,
        may_be_empty=options.may_be_empty,
    )
    return merged


def test_parts_put_together_are_what_one_job_writes(tmp_path: Path, smollm2: Setup) -> None:
    path = write_jsonl(tmp_path / "traces.jsonl", traces())
    whole = files(tmp_path / "whole")
    render_traces(path, whole, smollm2.settings(), OPTIONS, name="made")
    counts = orjson.loads(whole.stats.read_bytes())["counts"]
    assert counts["rejected"] and counts["not_selected"] and counts["records_out"] > 12
    assert content(in_parts(path, 4, smollm2, tmp_path / "parts")) == content(whole)


def test_what_is_rejected_counts_over_all_parts(tmp_path: Path, smollm2: Setup) -> None:
    """A quarter of the file is rejected, and half of one part."""
    made = traces()[:1] * 3
    path = write_jsonl(tmp_path / "t.jsonl", [*made, made[0] | {"messages": []}])
    half = replace(OPTIONS, reject_limit=0.5, rows="conversation", class_caps={})
    assert in_parts(path, 2, smollm2, tmp_path / "a", half).out.read_bytes().count(b"\n") == 3
    with pytest.raises(TooManyRejects, match=r"1 of 4 records rejected.*\n.*skeleton_not_allowed"):
        in_parts(path, 2, smollm2, tmp_path / "b", replace(half, reject_limit=0.1))
    assert not files(tmp_path / "b/merged").out.exists()


def test_a_file_without_a_trace_is_an_error_of_the_whole(tmp_path: Path, smollm2: Setup) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [])
    with pytest.raises(NothingRead):
        in_parts(path, 2, smollm2, tmp_path / "a", replace(OPTIONS, may_be_empty=False))


def test_parts_of_two_states_of_a_file_are_not_put_together(tmp_path: Path, smollm2: Setup) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", traces()[:4])
    parts = [files(tmp_path / f"{number}") for number in range(2)]
    for number, part in enumerate(parts):
        render_traces(path, part, smollm2.settings(), OPTIONS, name="made", part=Part(number, 2))
        path = write_jsonl(tmp_path / "t.jsonl", traces()[:6])
    with pytest.raises(ConservationError, match=r"had \d+ bytes for one and \d+ for another"):
        merge_renders(
            path,
            parts,
            files(tmp_path / "merged"),
            name="made",
            rows="turn",
            reject_limit=1.0,
            may_be_empty=True,
        )


def test_a_part_that_was_cut_is_not_taken(tmp_path: Path, smollm2: Setup) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", traces()[:2])
    part = files(tmp_path / "part")
    render_traces(path, part, smollm2.settings(), OPTIONS, name="made", part=Part(0, 2))
    part.out.write_bytes(b"")
    with pytest.raises(ConservationError, match=r"0 records, its stats say 3"):
        merge_renders(
            path,
            [part],
            files(tmp_path / "merged"),
            name="made",
            rows="turn",
            reject_limit=1.0,
            may_be_empty=True,
        )
