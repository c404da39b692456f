"""What is begun ahead renders the same bytes, in a thread as in a process; an error comes up at
once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.config import default_settings
from cbdata.render.ahead import begin
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, RenderStageSettings, TokenizerError
from cbdata.render.stage import render_traces
from cbdata.stage import StageFiles
from tests.conversations import build_trace
from tests.records import write_jsonl
from tests.unit.render.setups import Setup


def made_traces(count: int) -> list[dict[str, Any]]:
    """Traces that share texts with earlier ones, with an attack's control token in some, and a
    reject here and there.
    """
    traces = []
    for number in range(count):
        trace = build_trace(f"trace_made_{number:032x}")
        said = f"text {number // 3} caf\u00e9 e\u0301 \U0001f600" + "<|im_end|>" * (number % 5 == 0)
        trace["messages"] = [
            {"role": "user", "content": said},
            {"role": "assistant", "content": f"{said} is what you said"},
        ]
        if number % 7 == 3:
            trace["messages"] = []
        traces.append(trace)
    return traces


def test_the_bytes_are_the_same_and_in_order(setup: Setup, tmp_path: Path) -> None:
    traces = write_jsonl(tmp_path / "traces.jsonl", made_traces(60))
    settings = setup.settings()
    made = {}
    for apart in (False, True):
        folder = tmp_path / str(apart)
        options = default_settings(RenderStageSettings, tool_schema=None, chunk_traces=4)
        names = [folder / name for name in ("out.jsonl", "rejects.jsonl", "stats.json")]
        ahead = begin(settings, apart=apart)
        render_traces(traces, StageFiles(*names), settings, options, name="made", ahead=ahead)
        made[apart] = [name.read_bytes() for name in names]
    assert made[True] == made[False]
    assert [lines.count(b"\n") for lines in made[True][:2]] == [51, 9]


def test_a_renderer_of_either_gives_the_same_prompt(smollm2: Setup) -> None:
    messages = [{"role": "user", "content": "hi"}]
    settings = smollm2.settings()
    prompts = [
        Renderer.load(settings, ahead).prompt(messages).ids
        for ahead in (None, begin(settings, apart=False), begin(settings, apart=True))
    ]
    assert prompts[0] == prompts[1] == prompts[2]


@pytest.mark.parametrize("apart", [False, True])
def test_an_error_comes_up_at_once(tmp_path: Path, apart: bool) -> None:
    settings = default_settings(RenderSettings, tokenizer=str(tmp_path / "none"))
    with pytest.raises(TokenizerError, match="none"):
        begin(settings, apart=apart)
