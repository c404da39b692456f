"""AgentDojo's real calls, printed in every notation and by the families' own templates, are read
back exactly.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from cbdata.call_formats.base import Reading
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.judge.judgement import argument_errors
from cbdata.tools import ToolSchema
from tests.unit.call_formats.given_calls import Calls, calls_of, is_whole, read, same

BY_SCHEMA = {"glm", "minimax_m2", "qwen_xml", "seed_oss"}
"""Notations that write arguments as bare text: only the schema tells "null" from null."""

NULL_OR_TEXT = ("may be a string or", "is not array", "unknown to the schema")
"""How those refuse what nobody can tell."""


def difference(name: str, reading: Reading, turn: Calls) -> str | None:
    """What was lost or changed; a reject is no loss where the notation has no types of its own."""
    if reading.fault:
        excused = name in BY_SCHEMA and any(each in reading.fault.reason for each in NULL_OR_TEXT)
        return "rejected" if excused else f"{turn}: {reading.fault.reason}"
    if is_whole(reading) and same(calls_of(reading), turn):
        return None
    return f"{turn}: {calls_of(reading)}, {reading.prose}"


def misfits(turn: Calls, tools: ToolSchema) -> bool:
    """Whether the call breaks its schema, so that the schema cannot tell what was written."""
    written = FORMATS["openai_json"].write(turn)
    return bool(argument_errors(read(FORMATS["openai_json"], written, tools).calls, tools))


def check_differences(
    name: str, found: dict[int, str], turns: list[Calls], tools: ToolSchema
) -> None:
    """Every turn that differs does so for a reason that is known."""
    if name not in BY_SCHEMA:
        assert found == {}
    for at, said in found.items():
        assert said == "rejected" or misfits(turns[at], tools), said


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_real_call_is_read_back(
    name: str, real_turns: list[Calls], agentdojo_tools: ToolSchema
) -> None:
    call_format = FORMATS[name]
    found = {
        number: said
        for number, turn in enumerate(real_turns)
        if (
            said := difference(
                name, read(call_format, call_format.write(turn), agentdojo_tools), turn
            )
        )
    }
    check_differences(name, found, real_turns, agentdojo_tools)
    rejected = sum(said == "rejected" for said in found.values())
    # Rejected: null where the schema allows text, too, or an argument that breaks the schema. The
    # others have null where the schema says string: read as text; no reader could know better.
    assert (rejected, len(found) - rejected) == ((51, 4) if name in BY_SCHEMA else (0, 0))


TEMPLATES = {
    "deepseekv3": "deepseek_v3",
    "diffusion_gemma": "gemma4",
    "gemma4": "gemma4",
    "gemma4_v2": "gemma4",
    "gemma4_v3": "gemma4",
    "gemma4_v4": "gemma4",
    "gemma4_v5": "gemma4",
    "glm4moe": "glm",
    "gptoss": "harmony",
    "lfm2_v2": "pythonic",
    "llama3_1": "llama_json",
    "nemotron_3_nano": "qwen_xml",
    "qwen2_5": "hermes_json",
    "qwen3": "hermes_json",
    "qwen3_5_think": "qwen_xml",
}
"""TRL's copies of the families' templates and their formats. The others print as one of these, or
no calls at all; the R1 distil's closes no section of one call, and the first of LFM2.5 put strings
in quotes without escapes, so that planning refuses it.
"""

ONE_CALL = {"gptoss", "llama3_1"}
ARGUMENTS_AS_TEXT = {"deepseekv3"}


@pytest.fixture(scope="session")
def template_folder() -> Path:
    spec = importlib.util.find_spec("trl")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "chat_templates"


def printed(source: str, turn: Calls, as_text: bool) -> tuple[str, str]:
    """The generation prompt, and what the template prints behind it for a turn with calls."""
    given = [
        {
            "type": "function",
            "id": f"call0000{number}",
            "function": {
                "name": name,
                "arguments": json.dumps(arguments, ensure_ascii=False) if as_text else arguments,
            },
        }
        for number, (name, arguments) in enumerate(turn)
    ]
    user = {"role": "user", "content": "?"}
    said = {"role": "assistant", "content": "", "tool_calls": given}
    tokens = {"chat_template": source, "bos_token": "<s>", "eos_token": "</s>"}
    (prompt,), _ = render_jinja_template([[user]], add_generation_prompt=True, **tokens)
    (whole,), _ = render_jinja_template([[user, said]], **tokens)
    pairs = zip(prompt, whole, strict=False)
    cut = next((at for at, (one, other) in enumerate(pairs) if one != other), len(prompt))
    # What opens reasoning and what opens calls may begin alike.
    cut -= whole[:cut].endswith("<")
    return whole[:cut], whole[cut:]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_real_calls_of_a_template_are_read_back(
    template: str, template_folder: Path, real_turns: list[Calls], agentdojo_tools: ToolSchema
) -> None:
    name = TEMPLATES[template]
    source = (template_folder / f"{template}.jinja").read_text(encoding="utf-8")
    turns = [turn for turn in real_turns if template not in ONE_CALL or len(turn) == 1]
    found = {}
    for number, turn in enumerate(turns):
        prompt, text = printed(source, turn, template in ARGUMENTS_AS_TEXT)
        view, _ = Completion.spelled(text).view(FORMATS[name])
        opened = FORMATS[name].opens_reasoning(prompt)
        reading = FORMATS[name].read(view, agentdojo_tools, thinking_open=opened)
        if said := difference(name, reading, turn):
            found[number] = said
    check_differences(name, found, turns, agentdojo_tools)
    assert len(found) < len(turns) / 20
