"""Tokenizers, templates and real transcripts for the render tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.render import Renderer, RenderSettings
from cbdata.sources.agentdojo import convert
from cbdata.stage import StageFiles


@dataclass(frozen=True)
class Setup:
    """A tokenizer with the template that is used with it."""

    name: str
    folder: Path
    force_llama: bool

    def settings(self, **changes: Any) -> RenderSettings:
        return RenderSettings(str(self.folder), force_llama=self.force_llama, **changes)

    def renderer(self, **changes: Any) -> Renderer:
        return Renderer.load(self.settings(**changes))


def find_setup(name: str, request: pytest.FixtureRequest) -> Setup:
    """``llama-3.1`` (the project's template), ``llama-3.1-stock``, ``qwen3`` or ``smollm2``."""
    if name == "smollm2":
        return Setup(name, request.getfixturevalue("demo_model"), False)
    folder = request.getfixturevalue("shared_dir") / "tokenizers" / name.removesuffix("-stock")
    return Setup(name, folder, name == "llama-3.1")


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


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON Lines file."""
    for line in path.read_bytes().splitlines():
        yield orjson.loads(line)
