"""Runs of the two converters on small inputs, with what they wrote read back and validated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbdata.sources import agentdojo, fujitsu_b4
from cbdata.tools import ToolSchema
from tests.unit.sources.conversion import Converted, as_bytes, outputs, read_back


@pytest.fixture
def convert_b4(tmp_path: Path, b4_tools: ToolSchema) -> Callable[..., Converted]:
    """Convert records (objects, or the bytes of the file) of Fujitsu B4."""

    def convert(records: Any, **options: Any) -> Converted:
        raw = tmp_path / "b4.jsonl"
        raw.write_bytes(as_bytes(records))
        settings = {"split": "train", "max_reject_fraction": 1.0} | options
        fujitsu_b4.convert(
            [raw], tool_schemas=[b4_tools.path], outputs=outputs(tmp_path), **settings
        )
        return read_back(tmp_path)

    return convert


@pytest.fixture
def convert_dojo(tmp_path: Path) -> Callable[..., Converted]:
    """Convert files, given as {name: records or bytes}, of AgentDojo; ``order`` is the order in
    which they are given.
    """

    def convert(
        files: Any, order: Callable[[list[str]], list[str]] | None = None, **options: Any
    ) -> Converted:
        if not isinstance(files, dict):
            files = {"a.jsonl": files}
        paths = []
        for name, records in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(records))
            paths.append(str(path))
        settings = {"tool_schemas": (), "split": "train", "max_reject_fraction": 1.0} | options
        agentdojo.convert(order(paths) if order else paths, outputs=outputs(tmp_path), **settings)
        return read_back(tmp_path)

    return convert
