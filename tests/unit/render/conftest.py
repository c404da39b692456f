"""Tokenizers, templates and real transcripts for the render tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.render.renderer import Renderer
from cbdata.sources.agentdojo import convert
from cbdata.stage import StageFiles
from tests.unit.render.setups import Setup, find_setup, read_lines


@pytest.fixture(scope="module", params=["llama-3.1", "qwen3", "smollm2"])
def setup(request: pytest.FixtureRequest) -> Setup:
    """Each of the three tokenizers in turn."""
    return find_setup(request.param, request)


@pytest.fixture(scope="module")
def renderer(setup: Setup) -> Renderer:
    return setup.renderer()


@pytest.fixture(scope="session")
def smollm2(demo_model: Path) -> Setup:
    return Setup("smollm2", demo_model, False)


@pytest.fixture(scope="session")
def smollm2_renderer(smollm2: Setup) -> Renderer:
    return smollm2.renderer()


@pytest.fixture(scope="session")
def transcripts_file(
    shared_dir: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Every real AgentDojo transcript as trace_v1."""
    folder = tmp_path_factory.mktemp("agentdojo")
    convert(
        [str(shared_dir / "data" / "agentdojo")],
        split="train",
        outputs=StageFiles.of(
            folder / "traces.jsonl", folder / "rejects.jsonl", folder / "stats.json"
        ),
        max_reject_fraction=0.5,
        tool_schemas=sorted((repo / "configs" / "tool_schemas").glob("agentdojo_*.json")),
    )
    return folder / "traces.jsonl"


@pytest.fixture(scope="session")
def transcripts(transcripts_file: Path) -> list[dict[str, Any]]:
    return list(read_lines(transcripts_file))
