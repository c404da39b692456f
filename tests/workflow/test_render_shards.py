"""Renders and masks that several jobs share, through the real workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.command import Snakemake

pytestmark = pytest.mark.workflow


def made(out: Path) -> dict[str, bytes]:
    """What render and loss mask leave, by path."""
    paths = [
        *(out / "renders").iterdir(),
        *(out / "lossmasks").iterdir(),
        *(out / "rejects").glob("*/agentdojo_complete.jsonl"),
        *(out / "stats").glob("*/agentdojo_complete.json"),
    ]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths if path.is_file()}


def test_three_jobs_a_file_write_what_one_writes(
    snakemake: Snakemake, repo: Path, demo_model: Path, tmp_path: Path
) -> None:
    """A part that an earlier try has left is taken as it is, and none stays."""
    config: dict[str, object] = {
        "fujitsu_b4_path": None,
        "agentdojo_path": repo / "config/demo/agentdojo.jsonl",
        "tokenizer": demo_model,
        "log_dir": tmp_path / "logs",
    }
    run = ("--nolock", "--profile", "profiles/local")
    snakemake(*run, "lossmask", config=config | {"output_base": tmp_path / "one"})
    parts = config | {"output_base": tmp_path / "three", "render_shards": 3}
    one = tmp_path / "three/parts/render/agentdojo_complete/0-of-3.jsonl"
    snakemake(*run, "--notemp", one, config=parts)
    assert one.is_file()
    for stage in ("render", "lossmask"):
        left = tmp_path / f"three/parts/{stage}/agentdojo_complete/11-of-16.jsonl"
        left.parent.mkdir(exist_ok=True, parents=True)
        left.write_text("of a run that failed\n")
    snakemake(*run, "lossmask", config=parts)
    whole = made(tmp_path / "one")
    assert len(whole) >= 7
    assert made(tmp_path / "three") == whole
    assert not [path for path in (tmp_path / "three/parts").rglob("*") if path.is_file()]
