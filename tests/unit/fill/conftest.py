"""Fixtures of the fill stage's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cbdata.fill.job import FillJob, SetFiles
from cbdata.tools import ToolSchema
from tests.fill_settings import fill_settings, runtime_settings
from tests.unit.fill.world import World, write_skeletons


@pytest.fixture
def world(tmp_path: Path, b4_tools: ToolSchema) -> World:
    """Forty skeletons."""
    return World(tmp_path, b4_tools, write_skeletons(tmp_path, b4_tools, 40))


@pytest.fixture
def model_folder(tmp_path: Path, demo_model: Path) -> Path:
    """What is looked at of a model's folder before it is loaded, with the demo's tokenizer."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (demo_model / name).is_file():
            shutil.copy(demo_model / name, folder / name)
    (folder / "config.json").write_text('{"max_position_embeddings": 2048}')
    header = b'{"w":{"dtype":"U8","shape":[2560],"data_offsets":[0,2560]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(range(256)) * 10
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def job(tmp_path: Path, repo: Path, model_folder: Path) -> FillJob:
    """A job without skeletons, whose files are there."""
    skeletons = tmp_path / "skeletons.jsonl"
    skeletons.write_bytes(b"")
    return FillJob(
        sets=[
            SetFiles(
                skeletons=str(skeletons),
                output=str(tmp_path / "out.jsonl"),
                progress_dir=str(tmp_path / "progress"),
            )
        ],
        tool_schema=str(repo / "configs/tool_schemas/b4_standard_v1.json"),
        shard=0,
        shards=1,
        log=None,
        settings=fill_settings(model=str(model_folder), use_vllm=False),
        runtime=runtime_settings(),
    )
