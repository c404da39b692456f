"""What each public chat template gives: a call format, or a refusal that says why."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from cbdata.call_formats.settle import Settled, UnsettledFormat, settle
from cbdata.call_formats.turn_ends import turn_ends
from cbdata.config import default_settings
from cbdata.paths import CHAT_TEMPLATES
from cbdata.render.probes import probe_landmarks
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, TokenizerError
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import ControlToken, control_pattern, load_tokenizer
from tests.unit.render.test_trl_templates import MARKUP, SPECIAL, templates

ASKED_FOR = "hermes_json"
"""The format that the system message asks for where a template prints neither tools nor calls."""

FORMAT_OF = {
    **dict.fromkeys(("cohere", "gemma3", "llama3", "llava_next", "phi3"), ASKED_FOR),
    **dict.fromkeys(("cohere2", "phi3_5"), ASKED_FOR),
    **dict.fromkeys(("deepseekv3", "deepseekv3_training"), "deepseek_v3"),
    "diffusion_gemma": "gemma4",
    **dict.fromkeys(("gemma4", "gemma4_v2", "gemma4_v3", "gemma4_v4", "gemma4_v5"), "gemma4"),
    "glm4moe": "glm",
    "gptoss": "harmony",
    **dict.fromkeys(("lfm2_2_5_vl", "lfm2_v2"), "pythonic"),
    **dict.fromkeys(("llama3_1", "llama3_2"), "llama_json"),
    **dict.fromkeys(
        ("qwen2_5", "qwen2_5_vl", "qwen3", "qwen3_instruct_2507", "qwen3_vl"), "hermes_json"
    ),
    **dict.fromkeys(("qwen3_5_nothink", "qwen3_5_think", "qwen3_6", "qwen3_8"), "qwen_xml"),
    **dict.fromkeys(
        [f"nemotron_3_{size}" for size in ("5_lightning", "nano", "super", "ultra")], "qwen_xml"
    ),
}
OPENS_REASONING = re.compile(r"deepseek|nemotron|qwen3_5_think|qwen3_6|qwen3_8")
REFUSED = {
    "gemma": "System role not supported",
    **dict.fromkeys(
        ("deepseek_r1_distill", "idefics3", "smolvlm"), "no call format reads its calls back"
    ),
    "lfm2": "does not print the probe 'one call'",
    **dict.fromkeys(("lfm2_2_5", "lfm2_2_5_v2"), r"Came close: pythonic: awkward arguments"),
    "muse_glimmer": r"no call format reads its calls back exactly.*Came close: none",
}
ONE_BAR = re.compile(r"<\|[a-z_]+>|<[a-z_]+\|>|<\|\"\|>|<\|[a-z_:]+\|>|<end_of_sentence>")


def renderer_for(source: str, name: str, shared_dir: Path) -> Renderer:
    """The template on a tokenizer that has the control tokens which it prints."""
    base = load_tokenizer(shared_dir / "tokenizers/qwen3")
    found = {*MARKUP.findall(source), *ONE_BAR.findall(source), *SPECIAL.values()}
    plain = dict.fromkeys(("special", "lstrip", "rstrip", "single_word", "normalized"), False)
    added = [
        {**plain, "id": 10**6 + number, "content": text, "special": True}
        for number, text in enumerate(sorted(found))
    ]
    control = {each["content"]: ControlToken(each["id"], each["content"], True) for each in added}
    tokenizer = replace(base, control=control, pattern=control_pattern(added), special=SPECIAL)
    template = ChatTemplate(source, name, SPECIAL, "26 Jul 2024")
    settings = default_settings(RenderSettings, tokenizer="made")
    return Renderer(settings, tokenizer, "made", template, probe_landmarks(template, tokenizer))


def settled(source: str, name: str, shared_dir: Path) -> Settled:
    """What the template's calls are read back by."""
    renderer = renderer_for(source, name, shared_dir)
    return settle(renderer, turn_ends(renderer))


def expected(table: dict[str, str], name: str) -> str | None:
    """A template made for training is that of its model, but for DeepSeek V3's."""
    return table.get(name, table.get(name.removesuffix("_training")))


@pytest.mark.parametrize("file", templates(), ids=lambda file: file.stem)
def test_trl_s_templates(file: Path, shared_dir: Path) -> None:
    source, name = file.read_text(encoding="utf-8"), file.stem
    refusal = expected(REFUSED, name)
    if refusal is not None:
        with pytest.raises((UnsettledFormat, TokenizerError), match=refusal):
            settled(source, name, shared_dir)
        return
    found = settled(source, name, shared_dir)
    assert found.call_format == expected(FORMAT_OF, name)
    assert found.thinking_open == bool(OPENS_REASONING.match(name))


PROJECT = {
    "gpt_oss_tools": "harmony",
    "hermes_tools": "hermes_json",
    "llama31_tools": "llama_json",
    "minimax_m1_tools": "minimax_m1",
    "mistral_small_tools": "mistral_args",
    "mistral_tools": "mistral_list",
    "solar_tools": "solar",
}


def test_every_template_of_the_project_has_a_call_format(shared_dir: Path) -> None:
    files = {file.stem: file for file in CHAT_TEMPLATES.glob("*.jinja")}
    found = {
        name: settled(file.read_text(encoding="utf-8"), name, shared_dir)
        for name, file in files.items()
    }
    assert {name: each.call_format for name, each in found.items()} == PROJECT
    assert "<|calls|>" in found["solar_tools"].end_tokens
    assert not any(each.thinking_open for each in found.values())


KIMI = (
    "{%- for m in messages %}{{- '<|im_' + m.role + '|>' + m.content }}"
    "{%- if m.tool_calls %}{{- '<|tool_calls_section_begin|>' }}{%- for c in m.tool_calls %}"
    "{{- '<|tool_call_begin|>' + c.id + '<|tool_call_argument_begin|>'"
    " + (c.function.arguments | tojson) + '<|tool_call_end|>' }}{%- endfor %}"
    "{{- '<|tool_calls_section_end|>' }}{%- endif %}{{- '<|im_end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_assistant|>' }}{%- endif %}"
)


def test_a_template_that_prints_names_in_ids_alone(shared_dir: Path) -> None:
    """Kimi's own form; written here, since its tokenizer is not among the shared ones."""
    tools = "{%- if tools %}{{- tools | tojson }}{%- endif %}"
    renderer = renderer_for(tools + KIMI, "kimi", shared_dir)
    assert settle(renderer, turn_ends(renderer)).call_format == "kimi_k2"


@pytest.mark.parametrize(
    ("name", "template", "call_format"),
    [
        ("llama-3.1", None, "llama_json"),
        ("llama-3.1", "llama31_tools", "llama_json"),
        ("qwen3", None, "hermes_json"),
        ("gemma-3", None, ASKED_FOR),
    ],
)
def test_shared_tokenizers(
    shared_dir: Path, name: str, template: str | None, call_format: str
) -> None:
    folder = shared_dir / "tokenizers" / name
    renderer = Renderer.load(
        default_settings(RenderSettings, tokenizer=str(folder), chat_template=template)
    )
    assert settle(renderer, turn_ends(renderer, folder)).call_format == call_format


def test_a_shared_tokenizer_without_a_template(shared_dir: Path) -> None:
    folder = shared_dir / "tokenizers" / "gpt-oss"
    with pytest.raises(TokenizerError, match="no chat template"):
        Renderer.load(default_settings(RenderSettings, tokenizer=str(folder)))
