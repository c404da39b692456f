"""The two backends on the same requests: what each call is held to, and what one bad prompt does
to the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from cbdata.call_formats.completion import Completion
from cbdata.judge.judgement import argument_errors
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.tools import load_tool_schema
from tests.vllm.jobs import REPO, START_LIMIT_S, TOOLS

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

CODE = """
import array, sys
from dataclasses import replace
import orjson
from cbdata.fill.backends.registry import find_backend
from cbdata.config import default_settings
from cbdata.fill.environment import prepare_environment
name, model, tools, out = sys.argv[1:]
backend = find_backend(name)
prepare_environment(True, None, backend.environment())

from pathlib import Path
from cbdata.config import resolve_config
from cbdata.fill.backends.base import EngineOptions, Generated, RequestQueue
from cbdata.fill.call_reading import calls_grammar, settle_calls
from cbdata.fill.requests import Sampling, WorkItem
from cbdata.fill.settings import FillSettings, RuntimeSettings
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.tools import load_tool_schema

schema = load_tool_schema(tools)
renderer = Renderer.load(default_settings(RenderSettings, tokenizer=model))
config = resolve_config({"model": model, "max_tokens": 96, "temperature_ds": 0.7, "batch_size": 4, "max_num_seqs": 4, "enforce_eager": True, "constrain_tool_calls": True})
settings = FillSettings.of(config)
queries = ["Find the floor plan.", "Is it raining in Oslo?", "Write to Ann that I am late.", "What does tin cost?", "Show me the contract."]
grammar = settle_calls(renderer, Path(model), settings, schema).grammar
other = calls_grammar(renderer, settle_calls(renderer, Path(model), settings, schema).settled, replace(schema, tools=schema.tools[:1]))
items = []
for number, query in enumerate([*queries, "bad"]):
    prompt = renderer.prompt([{"role": "system", "content": "Answer with one tool call."}, {"role": "user", "content": query}], list(schema.tools))
    ids = [1, 4000000000] if query == "bad" else prompt.ids
    items.append(WorkItem(query, number, "ds", array.array("I", ids), prompt.sha256, Sampling(settings, "ds", {"grammar": other if number % 2 else grammar})))
engine = backend.open(EngineOptions(model=Path(model), runtime=RuntimeSettings.of(config), engine=settings.engine, device="cpu", dtype="float32", max_model_len=1024, seed=0))
rows = []
for round in range(2):
    for finished in engine.generate(RequestQueue([item.request(1) for item in items[round:] + items[:round]])):
        for result in finished:
            done = isinstance(result, Generated)
            text = renderer.decode(result.token_ids) if done else result.detail
            rows.append({"query": result.request.trace_id, "done": done, "text": text, "tools": "first" if result.request.grammar == other else "all", "finish": result.finish_reason if done else None})
open(out, "wb").write(orjson.dumps(rows))
"""  # noqa: E501 - embedded text


def run(backend: str, model: Path, folder: Path) -> list[dict]:
    out = folder / f"{backend}.json"
    environ = {**os.environ, "PYTHONPATH": str(REPO / "workflow/scripts")}
    script = folder / "generate.py"
    script.write_text(CODE)
    done = subprocess.run(
        [sys.executable, script, backend, model, TOOLS, out],
        env=environ,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return orjson.loads(out.read_bytes())


@pytest.mark.parametrize("backend", ["vllm", "transformers"])
def test_calls_follow_the_tool_schema_and_a_bad_prompt_fails_alone(
    backend: str, demo_model: Path, tmp_path: Path
) -> None:
    schema = load_tool_schema(TOOLS)
    rows = run(backend, demo_model, tmp_path)
    assert len(rows) == 12
    assert [row["query"] for row in rows if not row["done"]] == ["bad", "bad"]
    finished = [row for row in rows if row["finish"] == "stop"]
    assert finished
    for row in finished:
        parsed = read_completion(
            Completion.spelled(row["text"]), schema, ReadingRules("hermes_json")
        )
        assert parsed.kind == "calls" and len(parsed.calls) == 1
        assert argument_errors(parsed.calls, schema) == []
        assert row["tools"] == "all" or parsed.calls[0].name == schema.names[0]
    for row in rows:
        assert row["finish"] in ("stop", "length", None)
        assert not row["done"] or row["text"].startswith('<tool_call>\n{"name": "')
    both = {}
    for row in rows:
        both.setdefault(row["query"], []).append(row["text"])
    same = sum(first == second for first, second in both.values())
    # The second round has other neighbours in each batch; float32 on the CPU leaves few draws close
    # enough to tip over.
    assert same >= 4
