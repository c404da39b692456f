"""The export of real transcripts: what datasets loads is what the JSON Lines say, in at most one
byte a token.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbdata.config import default_settings
from cbdata.export.dataset import export_parquet
from cbdata.jsonl import read_records
from cbdata.lossmask.settings import LossmaskSettings
from cbdata.lossmask.stage import apply_lossmask
from cbdata.render.settings import RenderSettings, RenderStageSettings
from cbdata.render.stage import render_traces
from cbdata.sources.agentdojo import convert
from cbdata.stage import StageFiles

PIPELINES = (
    "agentdojo-gpt-4o-2024-05-13-tool_filter.jsonl",
    "agentdojo-claude-3-haiku-20240307.jsonl",
)


@pytest.fixture(scope="module")
def files(
    shared_dir: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Traces, renders and masks of two pipelines with the Qwen3 tokenizer, and their export."""
    folder = tmp_path_factory.mktemp("real")
    made = {name: folder / f"{name}.jsonl" for name in ("traces", "renders", "lossmasks")}
    side = (folder / "rejects.jsonl", folder / "stats.json")
    raw = [str(shared_dir / "data/agentdojo" / name) for name in PIPELINES]
    convert(
        raw,
        tool_schemas=[],
        split={"train": 0.9, "eval": 0.1},
        outputs=StageFiles.of(made["traces"], *side),
        max_reject_fraction=1.0,
    )
    settings = default_settings(RenderSettings, tokenizer=str(shared_dir / "tokenizers/qwen3"))
    options = default_settings(
        RenderStageSettings, tool_schema_dirs=[repo / "configs/tool_schemas"]
    )
    render_traces(
        made["traces"], StageFiles.of(made["renders"], *side), settings, options, name="real"
    )
    apply_lossmask(
        made["renders"],
        made["traces"],
        StageFiles.of(made["lossmasks"], *side),
        default_settings(LossmaskSettings),
        name="real",
    )
    export_parquet([made["lossmasks"]], [made["renders"]], [made["traces"]], folder / "export")
    return made | {"export": folder / "export"}


def test_at_most_one_byte_a_token(files: dict[str, Path]) -> None:
    tokens = sum(mask["stats"]["total_tokens"] for _, mask in read_records(files["lossmasks"]))
    assert tokens > 300_000
    assert sum(path.stat().st_size for path in files["export"].rglob("*.parquet")) <= 1.0 * tokens


def test_datasets_loads_what_the_json_lines_say(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    renders = {render["render_id"]: render for _, render in read_records(files["renders"])}
    masks = {mask["trace_id"]: mask for _, mask in read_records(files["lossmasks"])}
    parquet = {path.stem: str(path) for path in (files["export"] / "data").glob("*.parquet")}
    assert set(parquet) == {"train", "eval"}
    loaded = datasets.load_dataset("parquet", data_files=parquet, cache_dir=str(tmp_path))
    seen = 0
    for split, rows in loaded.items():
        for row in rows:
            mask = masks[row["trace_id"]]
            render = renders[mask["render_id"]]
            assert (row["input_ids"], row["attention_mask"], row["labels"]) == (
                render["input_ids"],
                render["attention_mask"],
                mask["labels"],
            )
            assert row["loss_mask"] == np.array(mask["loss_mask"], np.float32).tolist()
            assert [
                row[key]
                for key in ("sample_weight", "category", "class_id", "policy_id", "pair_id")
            ] == [
                mask[key]
                for key in ("sample_weight", "category", "class_id", "policy_id", "pair_id")
            ]
            assert mask["split"] == split
            seen += 1
    assert seen == len(masks)
