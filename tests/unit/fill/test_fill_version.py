"""FILL_VERSION says that the fill stage still does the same; this is what holds it to that.

``fill_shard`` costs GPU hours, so it carries a version raised by hand and not a digest of its code.
What its code does with fixed inputs is measured here and compared with FILL_BEHAVIOUR, which stands
beside the version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.config import default_settings
from cbdata.fill.prompts import skeleton_messages
from cbdata.fill.settings import FILL_BEHAVIOUR, FILL_VERSION
from cbdata.ids import digest
from cbdata.jsonl import read_records
from cbdata.judge.judgement import judge
from cbdata.judge.outcomes import OUTCOMES
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.rejects import Reject
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.tools import ToolSchema
from tests.unit.fill.world import ToyBackend, World, request_facts

DOCS, WEB = "retrieve_multimodal_docs", "search_web"
MODES = ("ds", "dr")

JUDGEMENT_FIELDS = (
    "outcome",
    "accepted",
    "observed_tool",
    "content",
    "thinking",
    "arguments_valid",
    "call_format",
    "spans",
)
CALL_FIELDS = ("name", "arguments", "arguments_json", "raw", "markup", "form")
TWO_CALLS = [(DOCS, {"query": "tides"}), (WEB, {"query": 'a "quoted" b'})]

BEFORE_GENERATING = {"equal_tools", "no_expected_tool", "no_simulated_tool", "tool_not_in_schema"}
"""Outcomes that need no completion."""


@pytest.fixture(scope="module")
def completions(repo: Path) -> list[tuple[str, str]]:
    """Finish reason and text."""
    return [
        (record["finish_reason"], record["completion"])
        for name in ("forms", "smollm2")
        for _, record in read_records(repo / f"tests/data/completions/{name}.jsonl")
    ]


@pytest.fixture(scope="module")
def skeletons(repo: Path) -> Path:
    return repo / "tests/data/skeletons/b4.jsonl"


def judgements(completions: list[tuple[str, str]], tools: ToolSchema) -> list[list[Any]]:
    """Everything that a judgement brings into a row, but for the detail, which is for people."""
    pairs = [(DOCS, WEB), (WEB, DOCS), (DOCS, DOCS), (None, WEB), (DOCS, None), (DOCS, "nothing")]
    found = []
    for finish_reason, text in completions:
        for mode in MODES:
            for expected, simulated in pairs:
                for more in (
                    {},
                    {"ds_criterion": "any_wrong_tool"},
                    {"strict_arguments": True},
                ):
                    result = judge(
                        text,
                        finish_reason=finish_reason,
                        mode=mode,
                        expected_tool=expected,
                        simulated_tool=simulated,
                        tool_schema=tools,
                        **more,
                    )
                    calls = [[getattr(call, name) for name in CALL_FIELDS] for call in result.calls]
                    found.append([*(getattr(result, name) for name in JUDGEMENT_FIELDS), calls])
    return found


def formats(tools: ToolSchema) -> list[Any]:
    """What each format writes and reads, and what it holds a model to."""
    found: list[Any] = []
    for name, call_format in FORMATS.items():
        text = call_format.write(TWO_CALLS)
        parsed = read_completion(Completion.spelled(text), tools, ReadingRules(name))
        calls = [[getattr(call, field) for field in CALL_FIELDS] for call in parsed.calls]
        found.append([name, text, parsed.kind, calls, call_format.grammar(tools)])
    return found


def prompts(skeletons: Path, tools: ToolSchema, model: Path) -> list[Any]:
    """The messages of every skeleton, and their text and token ids, or why there are none."""
    renderer = Renderer.load(default_settings(RenderSettings, tokenizer=str(model)))
    settings = [
        {},
        {"dr_context": "kept"},
        {"ds_system_suffix": "For DS.", "dr_system_suffix": "For DR."},
    ]
    found: list[Any] = []
    for _, skeleton in read_records(skeletons):
        if "messages" not in skeleton:
            continue
        for mode in MODES:
            for more in settings:
                try:
                    messages = skeleton_messages(skeleton, mode, **more)  # type: ignore[arg-type]
                    prompt = renderer.prompt(messages, list(tools.tools))
                    found.append([messages, prompt.text, list(prompt.ids), prompt.sha256])
                except Reject as error:
                    found.append(error.reason)
    return found


def shard_of_the_toy(
    world: World, skeletons: Path, completions: list[tuple[str, str]]
) -> tuple[list[str], list[Any]]:
    """What is asked of the engine, in order, and the rows, when the toy answers with completions of
    the corpus.
    """
    texts = [text for finish_reason, text in completions if finish_reason == "stop"]
    backend = ToyBackend(answer=lambda request: texts[request.seed % len(texts)])
    world.skeletons = skeletons
    rows = [row for _, row in read_records(world.run(backend, attempts=2))]
    assert rows.pop()["row"] == "run"  # times
    for row in rows:
        # What merge_fill knows a row's skeleton by is no part of the data.
        own = {"record_sha256"} if row["row"] == "reject" else {"record_sha256", "record_id"}
        for key in {"detail", *own}:
            row.pop(key, None)
    return [request_facts(request) for request in backend.seen], rows


def test_the_corpus_shows_every_outcome(
    completions: list[tuple[str, str]], b4_tools: ToolSchema
) -> None:
    outcomes = {found[0] for found in judgements(completions, b4_tools)}
    assert outcomes >= OUTCOMES.keys() - BEFORE_GENERATING


def test_other_behaviour_of_the_fill_stage_has_another_version(
    completions: list[tuple[str, str]],
    skeletons: Path,
    b4_tools: ToolSchema,
    demo_model: Path,
    world: World,
) -> None:
    requests, rows = shard_of_the_toy(world, skeletons, completions)
    assert {row["row"] for row in rows} == {"trace", "reject", "duplicate"}
    parts = {
        "judge": judgements(completions, b4_tools),
        "prompts": prompts(skeletons, b4_tools, demo_model),
        "formats": formats(b4_tools),
        "requests": requests,
        "rows": rows,
    }
    found = {part: digest(measured)[:16] for part, measured in parts.items()}
    changed = [part for part in parts if found[part] != FILL_BEHAVIOUR.get(part)]
    assert not changed, (
        f"the fill stage no longer does what FILL_VERSION {FILL_VERSION} stands for: other"
        f" {', '.join(changed)} for the same input. If that is not meant, it is a fault. If it is,"
        " raise FILL_VERSION in cbdata/fill/settings.py (finished shards of users are then made"
        " again, from stored completions where prompts and requests are as before), say so in"
        f" CHANGELOG.md, and write beside it:\n\nFILL_BEHAVIOUR = {found}\n\nOnly where nothing but"
        " the input was changed (tests/data, the B4 tool schema, the demo's tokenizer) does the"
        " version stay and FILL_BEHAVIOUR change alone."
    )
