"""Loss masks made by several jobs are those of one, byte for byte, with rejects and stats."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.config import default_settings
from cbdata.lossmask.merge import merge_lossmasks
from cbdata.lossmask.settings import LossmaskSettings
from cbdata.lossmask.stage import apply_lossmask
from cbdata.parts import Part
from cbdata.stage import TooManyRejects
from tests.conversations import Turn
from tests.records import write_jsonl
from tests.unit.lossmask.files import Files


def filled(folder: Path) -> Files:
    """Weights whose sum depends on the order in floating point, and a reject."""
    made = Files(folder)
    for number in range(11):
        turns = [Turn("user", ["u"], ["a", "b"])]
        turns += [Turn("assistant", ["s"], ["c"])] if number != 3 else []
        made.add(turns, rendered=number != 5, weight=0.1 * 3 ** (number % 4))
    return made


@pytest.mark.parametrize("of", [2, 3, 20])
def test_parts_put_together_are_what_one_job_writes(tmp_path: Path, of: int) -> None:
    made = filled(tmp_path)
    made.run("whole")
    renders = write_jsonl(tmp_path / "renders/made.jsonl", made.renders)
    settings, parts = default_settings(LossmaskSettings), []
    for number in range(of):
        parts.append(made.stage_files(f"part_{number}"))
        traces = tmp_path / "traces/made.jsonl"
        apply_lossmask(renders, traces, parts[-1], settings, name="made", part=Part(number, of))
    merged, whole = made.stage_files("merged"), made.stage_files("whole")
    merge_lossmasks(parts, merged, name="made", reject_limit=1.0)
    for kind in ("out", "rejects", "stats"):
        assert getattr(merged, kind).read_bytes() == getattr(whole, kind).read_bytes()
    assert whole.rejects.read_bytes()
    with pytest.raises(TooManyRejects):
        merge_lossmasks(parts, made.stage_files("refused"), name="made", reject_limit=0.01)
