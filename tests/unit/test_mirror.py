"""The unit tests mirror the library: ``cbdata/a/b.py`` is tested by ``tests/unit/a/test_b.py``.

The modules without a test module of their name are listed below, each with the reason. A new module
gets its tests and not a line here; a line whose module has its tests, or is gone, must go too.
"""

from __future__ import annotations

from pathlib import Path

FORMAT = "every format is tested in the same ways: test_formats, test_settle and their like"
NOTATION = "a notation that call formats share, tested through them"
TABLE = "a table without code; test_reasons holds it to what is raised"
TYPES = "types alone; test_records compares them with the schemas"
WITHOUT: dict[str, str] = {
    "call_formats/bare_json.py": NOTATION,
    "call_formats/base.py": "the interface of the formats: test_formats, test_awkward_arguments",
    "call_formats/command_r.py": FORMAT,
    "call_formats/completion.py": "test_awkward_arguments",
    "call_formats/deepseek_dsml.py": FORMAT,
    "call_formats/deepseek_sections.py": NOTATION,
    "call_formats/deepseek_v3.py": FORMAT,
    "call_formats/deepseek_v31.py": FORMAT,
    "call_formats/function_gemma.py": FORMAT,
    "call_formats/function_parameters.py": NOTATION,
    "call_formats/gemma4.py": FORMAT,
    "call_formats/gemma_calls.py": NOTATION,
    "call_formats/gemma_tool_code.py": FORMAT,
    "call_formats/glm.py": FORMAT,
    "call_formats/granite.py": FORMAT,
    "call_formats/harmony.py": FORMAT,
    "call_formats/hermes_json.py": FORMAT,
    "call_formats/internlm2.py": FORMAT,
    "call_formats/json_calls.py": NOTATION,
    "call_formats/kimi_k2.py": FORMAT,
    "call_formats/llama_function.py": FORMAT,
    "call_formats/llama_json.py": FORMAT,
    "call_formats/marked_json.py": NOTATION,
    "call_formats/minimax_m1.py": FORMAT,
    "call_formats/minimax_m2.py": FORMAT,
    "call_formats/mistral_args.py": FORMAT,
    "call_formats/mistral_list.py": FORMAT,
    "call_formats/openai_json.py": FORMAT,
    "call_formats/phi4.py": FORMAT,
    "call_formats/python_calls.py": NOTATION,
    "call_formats/pythonic.py": FORMAT,
    "call_formats/qwen_xml.py": FORMAT,
    "call_formats/react.py": FORMAT,
    "call_formats/reasoning.py": "a list; test_formats and test_reading read with it",
    "call_formats/registry.py": "a list; every test of the formats goes through it",
    "call_formats/sections.py": NOTATION,
    "call_formats/seed_oss.py": FORMAT,
    "call_formats/solar.py": FORMAT,
    "call_formats/tagged_values.py": NOTATION,
    "call_formats/turn_ends.py": "test_settle",
    "decision_points/reasons.py": TABLE,
    "export/counts.py": "test_card and test_parquet, which read what it counts",
    "export/dataset.py": "test_parquet and test_card, which read what it writes",
    "export/rows.py": "test_parquet and test_pairs",
    "fill/reasons.py": TABLE,
    "judge/outcomes.py": TABLE,
    "judge/plain_text.py": "test_prose",
    "judge/refusals.py": "test_prose and test_reading",
    "judge/rows.py": "test_judge_completions",
    "judge/tool_names.py": "test_prose and test_reading",
    "lossmask/masks.py": "test_policies and test_oracle, mask by mask",
    "lossmask/reasons.py": TABLE,
    "lossmask/rows.py": "test_stage",
    "lossmask/selection.py": "test_stage and test_sweeps",
    "lossmask/settings.py": "test_stage",
    "lossmask/tally.py": "test_stage and test_merge, which read what it sums",
    "merge_parts.py": "render/test_merge and lossmask/test_merge",
    "reasons_page.py": "test_reasons",
    "records/stages.py": TYPES,
    "records/tokens.py": TYPES,
    "records/trace.py": TYPES,
    "records/words.py": TYPES,
    "rejects.py": "test_reasons and every test of a reject",
    "render/chat.py": "test_locate and test_oracle",
    "render/draft.py": "test_oracle and test_fit_spans",
    "render/draft_encoder.py": "test_oracle and test_stage",
    "render/drafter.py": "test_stage, row by row",
    "render/environment.py": "test_template and test_growing",
    "render/figures.py": "test_stage, by the stats",
    "render/instrument.py": "test_template and test_trl_templates",
    "render/reasons.py": TABLE,
    "render/record.py": "test_oracle and test_stage",
    "render/renderer.py": "test_hugging_face and test_oracle",
    "render/settings.py": "test_tokenizer and test_stage",
    "render/turns.py": TYPES,
    "render/written_calls.py": "test_inline_calls",
    "report/build.py": "test_page",
    "report/collect.py": "test_figures",
    "report/inputs.py": "test_page",
    "schemas.py": "test_records and the validation",
    "sources/agentdojo_runs.py": "test_agentdojo",
    "sources/one_call.py": "test_injecagent and test_nemotron_ipi",
    "sources/options.py": "settings alone; test_agentdyn, test_conversations and test_splits",
    "sources/raw_bytes.py": "test_raw_records and test_raw_lines",
    "sources/reasons.py": TABLE,
    "sources/result_calls.py": "test_agentdojo_messages",
    "sources/strict_json.py": "test_raw_lines and test_agentdojo",
    "validation/files.py": "test_validation",
    "validation/findings.py": "test_validation",
    "validation/lossmasks.py": "test_validation and test_any_change",
    "validation/renders.py": "test_validation and test_any_change",
    "validation/run.py": "test_validation",
    "validation/traces.py": "test_validation and test_any_change",
    "version.py": "one constant",
}


def without_tests(library: Path, tests: Path) -> list[str]:
    """The modules of a library that have no test module of their name in the mirrored folder."""
    modules = sorted(path.relative_to(library) for path in library.rglob("*.py"))
    return [
        module.as_posix()
        for module in modules
        if module.name != "__init__.py"
        and not (tests / module.parent / f"test_{module.stem.strip('_')}.py").exists()
    ]


def test_only_the_listed_modules_have_no_test_module(repo: Path) -> None:
    found = without_tests(repo / "workflow/scripts/cbdata", repo / "tests/unit")
    assert found == sorted(WITHOUT), (
        f"without tests: {sorted(set(found) - set(WITHOUT))};"
        f" listed for nothing: {sorted(set(WITHOUT) - set(found))}"
    )


def test_every_test_that_a_reason_names_is_there(repo: Path) -> None:
    named = {word.strip(",:;") for reason in WITHOUT.values() for word in reason.split()}
    tests = {name.rpartition("/")[2] for name in named if "test_" in name}
    there = {path.stem for path in (repo / "tests").rglob("test_*.py")}
    assert tests and tests <= there
