"""The call format of a chat template, found by reading its own calls back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.call_formats.settle import UnsettledFormat, settle
from cbdata.call_formats.turn_ends import turn_ends
from cbdata.config import default_settings
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings

HEAD = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content }}"
    "{%- for c in m.tool_calls or [] %}"
)
TAIL = (
    "{%- endfor %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
PRINTED = {
    "hermes_json": '\'<tool_call>\\n{"name": "\' + c.function.name + \'", "arguments": \''
    " + (c.function.arguments | tojson) + '}\\n</tool_call>'",
    "llama_function": "'<function=' + c.function.name + '>' + (c.function.arguments | tojson)"
    " + '</function>'",
    "mistral_args": "'[TOOL_CALLS]' + c.function.name + '[ARGS]' + (c.function.arguments | tojson)",
    "deepseek_v3": "'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>'"
    " + c.function.name + '\\n```json\\n' + (c.function.arguments | tojson)"
    " + '\\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'",
    "deepseek_v31": "'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + c.function.name"
    " + '<｜tool▁sep｜>' + (c.function.arguments | tojson)"
    " + '<｜tool▁call▁end｜><｜tool▁calls▁end｜>'",
}


def load(folder: Path, tokenizer: str, template: str | None = None) -> Renderer:
    return Renderer.load(
        default_settings(
            RenderSettings,
            tokenizer=str(folder / "tokenizers" / tokenizer),
            chat_template=template,
        )
    )


@pytest.mark.parametrize(
    ("tokenizer", "call_format", "ends"),
    [
        ("llama-3.1", "llama_json", {"<|eot_id|>"}),
        ("qwen3", "hermes_json", {"<|im_end|>"}),
    ],
)
def test_stock_templates(
    shared_dir: Path, tokenizer: str, call_format: str, ends: set[str]
) -> None:
    renderer = load(shared_dir, tokenizer)
    found = settle(renderer, turn_ends(renderer))
    assert (found.call_format, found.thinking_open, found.end_tokens) == (call_format, False, ends)


def test_the_project_s_llama_template(shared_dir: Path) -> None:
    renderer = load(shared_dir, "llama-3.1", "llama31_tools")
    found = settle(renderer, turn_ends(renderer))
    assert (found.call_format, found.refused) == ("llama_json", ())
    assert found.end_tokens == {"<|eot_id|>", "<|eom_id|>"}


def test_reasoning_that_the_prompt_opens(shared_dir: Path) -> None:
    file = shared_dir / "cases" / "chat_templates" / "think_open_in_prompt.jinja"
    renderer = load(shared_dir, "qwen3", str(file))
    found = settle(renderer, turn_ends(renderer))
    assert (found.call_format, found.thinking_open) == ("hermes_json", True)


@pytest.mark.parametrize("call_format", sorted(PRINTED))
def test_a_template_of_ones_own(shared_dir: Path, tmp_path: Path, call_format: str) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(HEAD + "{{- " + PRINTED[call_format] + " }}" + TAIL)
    renderer = load(shared_dir, "qwen3", str(file))
    assert settle(renderer, turn_ends(renderer)).call_format == call_format


def test_a_template_that_prints_no_calls_is_read_as_its_system_message_asks(
    shared_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "plain.jinja"
    plain = HEAD.replace("{%- for c in m.tool_calls or [] %}", "")
    file.write_text(plain + TAIL.removeprefix("{%- endfor %}"))
    renderer = load(shared_dir, "qwen3", str(file))
    assert settle(renderer, turn_ends(renderer)).call_format == "hermes_json"
    file.write_text(HEAD + TAIL)  # it names tool calls: they are never put into the text for it
    renderer = load(shared_dir, "qwen3", str(file))
    with pytest.raises(UnsettledFormat, match="does not print the probe"):
        settle(renderer, turn_ends(renderer))


@pytest.mark.parametrize(
    "printed",
    [
        "'<<' + c.function.name + '>>' + (c.function.arguments | tojson)",
        '\'<tool_call>\\n{"name": "\' + c.function.name + \'", "arguments": {}}\\n</tool_call>\'',
        PRINTED["hermes_json"] + " + ' done'",
    ],
)
def test_a_template_that_no_format_reads_back_exactly(
    shared_dir: Path, tmp_path: Path, printed: str
) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(HEAD + "{{- " + printed + " }}" + TAIL)
    renderer = load(shared_dir, "qwen3", str(file))
    with pytest.raises(UnsettledFormat, match=r"no call format reads its calls back.*Came close"):
        settle(renderer, turn_ends(renderer))
    assert settle(renderer, turn_ends(renderer), "openai_json").call_format == "openai_json"


def test_an_unknown_name(shared_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"call_format 'nothing': expected auto or one of"):
        settle(load(shared_dir, "qwen3"), frozenset(), "nothing")


def test_generation_config_adds_ends(shared_dir: Path, tmp_path: Path) -> None:
    renderer = load(shared_dir, "qwen3")
    end = renderer.tokenizer.control["<|endoftext|>"].id
    (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": [{end}, 999999999]}}')
    assert turn_ends(renderer, tmp_path) == {"<|im_end|>", "<|endoftext|>"}
