"""A tokenizer with the template that is used with it, for the render tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.config import default_settings
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings


@dataclass(frozen=True)
class Setup:
    """A tokenizer with the template that is used with it."""

    name: str
    folder: Path
    force_llama: bool

    def settings(self, **changes: Any) -> RenderSettings:
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
