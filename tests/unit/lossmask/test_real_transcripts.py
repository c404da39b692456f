"""Every real AgentDojo transcript: the text under the assistant mask is what the model said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.config import default_settings
from cbdata.jsonl import read_records
from cbdata.lossmask.settings import LossmaskSettings
from cbdata.lossmask.stage import apply_lossmask
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, RenderStageSettings
from cbdata.render.stage import render_traces
from cbdata.sources.agentdojo import convert
from cbdata.stage import StageFiles
from tests.unit.render.oracle import FORMATS


@pytest.fixture(scope="module")
def transcripts(shared_dir: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real transcripts as traces."""
    folder = tmp_path_factory.mktemp("transcripts")
    schemas = sorted((repo / "configs/tool_schemas").glob("agentdojo_*_v1.json"))
    traces = folder / "traces/agentdojo.jsonl"
    convert(
        [str(shared_dir / "data/agentdojo")],
        split="train",
        outputs=StageFiles.of(traces, folder / "rejects.jsonl", folder / "stats.json"),
        max_reject_fraction=0.5,
        tool_schemas=schemas,
    )
    return traces


def said_by_model(form: str, messages: list[dict[str, Any]]) -> list[str]:
    """Text, calls and end-of-turn token of every assistant turn, as the format prints them."""
    pieces = FORMATS[form](messages, None).pieces
    turns = [
        ("said", index) for index, message in enumerate(messages) if message["role"] == "assistant"
    ]
    return ["".join(text for text, _, labels in pieces if turn in labels) for turn in turns]


@pytest.mark.parametrize("name", FORMATS)
def test_the_text_under_the_mask_is_what_the_model_said(
    name: str, transcripts: Path, repo: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokenizer = (
        request.getfixturevalue("demo_model")
        if name == "smollm2"
        else request.getfixturevalue("shared_dir") / "tokenizers" / name
    )
    settings = default_settings(
        RenderSettings, tokenizer=str(tokenizer), force_llama=name == "llama-3.1"
    )
    renders = tmp_path / "renders/agentdojo.jsonl"
    side = (tmp_path / "rejects.jsonl", tmp_path / "stats.json")
    options = default_settings(
        RenderStageSettings,
        tool_schema_dirs=[repo / "configs/tool_schemas"],
        max_length=1_000_000,
    )
    render_traces(transcripts, StageFiles.of(renders, *side), settings, options, name="agentdojo")
    apply_lossmask(
        renders,
        transcripts,
        StageFiles.of(tmp_path / "lossmasks.jsonl", *side),
        default_settings(LossmaskSettings, policy="assistant_only"),
        name="agentdojo",
    )
    renderer = Renderer.load(settings)
    rows = 0
    traces = (trace for _, trace in read_records(transcripts))
    for (_, render), (_, row) in zip(
        read_records(renders), read_records(tmp_path / "lossmasks.jsonl"), strict=True
    ):
        trace = next(trace for trace in traces if trace["id"] == row["trace_id"])
        assert row["render_id"] == render["render_id"]
        assert [label for label in row["labels"] if label != -100] == [
            token
            for token, weight in zip(render["input_ids"], row["loss_mask"], strict=True)
            if weight
        ]
        edges = [0.0, *row["loss_mask"], 0.0]
        turns = [place for place in range(len(edges) - 1) if edges[place] != edges[place + 1]]
        under = [
            renderer.decode(render["input_ids"][start:end])
            for start, end in zip(turns[::2], turns[1::2], strict=True)
        ]
        for shown, said in zip(under, said_by_model(name, trace["messages"]), strict=True):
            # ids are those of the whole text, where a newline that ends the header and one that
            # begins the text can be one token
            assert shown in ((said, "\n" + said) if said.startswith("\n") else (said,)), trace["id"]
        rows += 1
    assert rows == sum(1 for _ in read_records(transcripts))
