"""A tokenizer with the template that is used with it, and the stage run with them, for the render
tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.config import default_settings
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, RenderStageSettings
from cbdata.render.stage import render_traces
from cbdata.schemas import validator
from cbdata.stage import StageFiles
from tests.records import write_jsonl


@dataclass(frozen=True)
class Setup:
    """A tokenizer with the template that is used with it."""

    name: str
    folder: Path
    force_llama: bool

    def settings(self, **changes: Any) -> RenderSettings:
        if self.name.endswith("-stock"):
            changes = {"chat_template": None, **changes}
        return default_settings(
            RenderSettings, tokenizer=str(self.folder), force_llama=self.force_llama, **changes
        )

    def renderer(self, **changes: Any) -> Renderer:
        return Renderer.load(self.settings(**changes))


def find_setup(name: str, request: pytest.FixtureRequest) -> Setup:
    """``llama-3.1`` (the project's template), ``llama-3.1-stock``, ``qwen3`` or ``smollm2``."""
    if name == "smollm2":
        return Setup(name, request.getfixturevalue("demo_model"), False)
    folder = request.getfixturevalue("shared_dir") / "tokenizers" / name.removesuffix("-stock")
    return Setup(name, folder, name == "llama-3.1")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON Lines file."""
    for line in path.read_bytes().splitlines():
        yield orjson.loads(line)


class Stage:
    """The stage run in a folder; its files as records."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder, self.setup = folder, setup

    def run(self, traces: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        path = write_jsonl(self.folder / "in" / "traces.jsonl", traces)
        settings = self.setup.settings(**options.pop("settings", {}))
        files = StageFiles.of(
            self.folder / "out.jsonl", self.folder / "rejects.jsonl", self.folder / "stats.json"
        )
        options = default_settings(RenderStageSettings, **{"tool_schema": None, **options})
        render_traces(path, files, settings, options, name="made")
        rows = list(read_lines(self.folder / "out.jsonl"))
        for kind, records in (
            ("render_v1", rows),
            ("reject_v1", self.rejects()),
            ("stats_v1", [self.stats()]),
        ):
            for record in records:
                validator(kind).validate(record)
        return rows

    def rejects(self) -> list[dict[str, Any]]:
        return list(read_lines(self.folder / "rejects.jsonl"))

    def stats(self) -> dict[str, Any]:
        return orjson.loads((self.folder / "stats.json").read_bytes())
