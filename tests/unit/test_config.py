"""The configuration through its public door: defaults, folders, and errors that name key, value and
fix.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.target_jobs import parse_target_jobs_cli_args
from snakemake_interface_executor_plugins.utils import (
    TargetSpec,
    encode_target_jobs_cli_args,
    format_cli_arg,
)

from cbdata.config import (
    NAME,
    ConfigError,
    config_file,
    config_schema,
    find_file,
    resolve_config,
    trace_sources,
)

SEED_VARIABLES = [
    "FUJITSU_B4_PATH",
    "AGENTDOJO_PATH",
    "SPLIT",
    "MODE",
    "MODEL",
    "TOOL_SCHEMA",
    "USE_VLLM",
    "TENSOR_PARALLEL",
    "BATCH_SIZE",
    "TEMPERATURE_DS",
    "TEMPERATURE_DR",
    "MAX_TOKENS",
    "LIMIT",
    "TOKENIZER",
    "MAX_LENGTH",
    "POLICY",
    "MWCS_SCHEDULE",
    "MWCS_STEP",
    "ALLOW_SKELETON",
    "SKELETON_POLICY",
    "INCLUDE_TEXT",
    "FORCE_LLAMA",
    "SKIP_LOAD",
    "SKIP_FILL",
]


def test_config_file_states_the_defaults_of_the_schema(repo: Path) -> None:
    defaults = {key: spec["default"] for key, spec in config_schema()["properties"].items()}
    assert yaml.safe_load((repo / "config/config.yaml").read_text()) == defaults


def test_every_seed_variable_has_a_key_of_the_same_name() -> None:
    properties = config_schema()["properties"]
    for variable in SEED_VARIABLES:
        assert properties[variable.lower()]["x-seed"].startswith(variable)
    assert "OUTPUT_BASE" in properties["output_base"]["x-seed"]
    assert {"INPUT_TRACES (stage 2)", "INPUT_TRACES (stage 3)"} == {
        properties[key]["x-seed"] for key in ("skeleton_traces", "input_traces")
    }


def test_seed_defaults() -> None:
    config = resolve_config({}, environ={})
    assert {
        key: config[key]
        for key in (
            "mode",
            "temperature_ds",
            "temperature_dr",
            "max_tokens",
            "batch_size",
            "tensor_parallel",
            "max_length",
        )
    } == {
        "mode": "both",
        "temperature_ds": 0.7,
        "temperature_dr": 0.3,
        "max_tokens": 256,
        "batch_size": 32,
        "tensor_parallel": 1,
        "max_length": 4096,
    }
    assert (config["output_base"], config["log_dir"], config["cache_dir"]) == (
        "scratch/data",
        "scratch/logs",
        "scratch/cache/hf",
    )


def test_folders_follow_cb_scratch() -> None:
    config = resolve_config({"log_dir": "elsewhere"}, environ={"CB_SCRATCH": "/big"})
    assert (config["output_base"], config["log_dir"], config["cache_dir"]) == (
        "/big/data",
        "elsewhere",
        "/big/cache/hf",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"endpoint_urls": "http://user:secret@host"},
        {"endpoint_urls": "http://user:secret@a:8000,http://b:8000"},
        {"endpoint_urls": [{"x": "http://user:secret@host"}]},
        {"endpoint_url": "http://user:secret@host"},
    ],
)
def test_a_password_in_a_wrong_address_is_not_shown(given: dict) -> None:
    with pytest.raises(ConfigError, match=r"http://\*\*\*@") as error:
        resolve_config(given, environ={})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temprature_ds": 0.5}, ["temprature_ds", "0.5", "did you mean", "temperature_ds"]),
        ({"MODE": "ds"}, ["MODE", "'ds'", "did you mean mode"]),
        ({"output_dir": "x"}, ["output_dir", "did you mean output_base"]),
        ({"batch_size": "many"}, ["batch_size", "'many'", "integer", "default 32"]),
        ({"mode": "dx"}, ["mode", "'dx'", "ds, dr, both"]),
        ({"temperature_ds": -1}, ["temperature_ds", "-1", "minimum"]),
        ({"split": {"train": 0.9, "eval": 0.2}}, ["split", "1.1", "add up to 1"]),
        ({"source_splits": {"injecagent": {"a": 0.5}}}, ["source_splits", "0.5", "add up to 1"]),
        ({"source_splits": {"injecagent": {"a": "x"}}}, ["source_splits", "'x'", "fraction"]),
        ({"mwcs_step": 5}, ["mwcs_step", "5", "mwcs_schedule"]),
        ({"max_tokens": 512, "max_model_len": 512}, ["max_tokens", "512", "max_model_len"]),
        (
            {"max_tokens": 256, "max_thinking_tokens": 256, "max_model_len": 512},
            ["max_tokens: 256 with max_thinking_tokens 256", "max_model_len=512"],
        ),
        ({"force_llama": True, "chat_template": "x"}, ["chat_template", "force_llama"]),
    ],
)
def test_wrong_configuration_names_key_value_and_fix(given: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_config(given, environ={})
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("force_llama", "true", True),
        ("use_vllm", "false", False),
        ("agentdojo_path", "null", None),
        ("limit", "null", None),
        ("agentdojo_path", "[a.jsonl, b.jsonl]", ["a.jsonl", "b.jsonl"]),
        ("split", "{train: 0.9, eval: 0.1}", {"train": 0.9, "eval": 0.1}),
        ("split", "true", "true"),
        ("model", "null", "null"),
    ],
)
def test_values_of_the_command_line_are_read_as_yaml_where_the_key_is_no_text(
    key: str, text: str, value: object
) -> None:
    assert resolve_config({key: text}, environ={})[key] == value


@pytest.mark.parametrize("key", ["tokenizer", "model", "chat_template", "mwcs_schedule"])
def test_paths_with_variables(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "/data/models")
    monkeypatch.setenv("HOME", "/home/me")
    assert resolve_config({key: "$MODELS/one"}, environ={})[key] == "/data/models/one"
    assert resolve_config({key: "~/one"}, environ={})[key] == "/home/me/one"
    assert resolve_config({key: "org/name"}, environ={})[key] == "org/name"


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        resolve_config({"nope": 1, "mode": "dx", "batch_size": 0}, environ={})
    assert len(error.value.problems) == 3


def test_input_traces_take_names_and_paths() -> None:
    expected = {"a": "out/traces/a.jsonl", "custom": "/data/custom.jsonl"}
    assert trace_sources({"input_traces": "a, /data/custom.jsonl"}, "out") == expected
    assert trace_sources({"input_traces": ["a.jsonl", "/data/custom.jsonl"]}, "out") == expected
    assert trace_sources({"input_traces": None}, "out") == {}


def test_two_input_traces_of_one_name_are_an_error() -> None:
    with pytest.raises(ConfigError, match="both called 'a'"):
        trace_sources({"input_traces": ["/x/a.jsonl", "/y/a.jsonl"]}, "out")


def test_find_file_looks_in_the_working_directory_then_in_the_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "schema.json").write_text("{}")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert find_file("tool_schema", "schema.json", tmp_path / "workflow") == str(
        tmp_path / "workflow" / "schema.json"
    )
    (tmp_path / "here" / "schema.json").write_text("{}")
    assert find_file("tool_schema", "schema.json", tmp_path / "workflow") == "schema.json"
    with pytest.raises(ConfigError, match=r"tool_schema: 'nothing.json' does not exist.*Fix"):
        find_file("tool_schema", "nothing.json", tmp_path / "workflow")


@pytest.mark.parametrize(
    ("path", "tidy"),
    [
        ("out/", "out"),
        ("./out", "out"),
        ("out/./data//x/", "out/data/x"),
        ("//big//out", "/big/out"),
        ("../out/", "../out"),
        ("a/../b", "a/../b"),
    ],
)
def test_folders_have_one_spelling(path: str, tidy: str) -> None:
    config = resolve_config({"output_base": path, "log_dir": path}, environ={})
    assert (config["output_base"], config["log_dir"]) == (tidy, tidy)
    assert resolve_config({}, environ={"CB_SCRATCH": path})["output_base"] == f"{tidy}/data"
    assert trace_sources({"input_traces": f"{path}/a.jsonl"}, "o") == {"a": f"{tidy}/a.jsonl"}


def test_the_working_directory_as_output_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_config({"output_base": "./"}, environ={})["output_base"] == str(tmp_path)


@pytest.mark.parametrize("path", ["/x/{name}/y", "/x\n/y", " x", "x ", "a\tb"])
def test_paths_that_snakemake_cannot_have(path: str) -> None:
    for key in ("output_base", "log_dir"):
        with pytest.raises(ConfigError, match=f"{key}.*cannot have in a path"):
            resolve_config({key: path}, environ={})


@pytest.mark.parametrize("path", ["/x/{name}/a.jsonl", "/x\n/a.jsonl", " x/a.jsonl"])
def test_traces_at_paths_that_snakemake_cannot_have(path: str) -> None:
    with pytest.raises(ConfigError, match=r"input_traces: .*cannot have in a path"):
        trace_sources({"input_traces": [path]}, "out")


@pytest.mark.parametrize("character", [*",'\"`$%\\{}", "\n", "\x85", "\u200b", "\u2028"])
def test_names_that_a_job_cannot_be_given(character: str) -> None:
    with pytest.raises(ConfigError, match=r"input_traces: .*cannot name a data set"):
        trace_sources({"input_traces": [f"/x/a{character}b.jsonl"]}, "out")


@given(st.from_regex(NAME, fullmatch=True).filter(str.isprintable))
@settings(max_examples=60, deadline=None)
def test_every_other_name_reaches_a_job(name: str) -> None:
    """In the target of the job's command, quoted by Snakemake, then in ``--wrap="..."`` as the
    SLURM plugin has it.
    """
    target = encode_target_jobs_cli_args([TargetSpec("render_traces", {"name": name})])
    command = f"printf %s {format_cli_arg('--target-jobs', target)}"
    escaped = command.replace('"', '\\"')
    done = subprocess.run(f'sh -c "{escaped}"', shell=True, capture_output=True, check=True)
    words = [done.stdout.decode().removeprefix("--target-jobs")]
    assert parse_target_jobs_cli_args(words)[0].wildcards_dict == {"name": name}


def test_the_users_own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_file({}) is None
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").touch()
    assert config_file({}) == Path("config/config.yaml")
    (tmp_path / "mine.yaml").touch()
    assert config_file({"CB_CONFIG": str(tmp_path / "mine.yaml")}) == tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"CB_CONFIG: 'nowhere\.yaml' is no file"):
        config_file({"CB_CONFIG": "nowhere.yaml"})


def test_a_model_of_the_checkout_is_found_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repo: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"model": "config/demo", "tokenizer": "org/name", "chat_template": "llama31_tools"}
    found = resolve_config(given, environ={})
    assert {key: found[key] for key in given} == {**given, "model": str(repo / "config/demo")}
    (tmp_path / "config/demo").mkdir(parents=True)
    assert resolve_config(given, environ={})["model"] == "config/demo"
    monkeypatch.chdir(repo)
    assert resolve_config(given, environ={})["model"] == "config/demo"


def test_a_reject_limit_is_one_number_for_all_stages_or_the_defaults_but_for_some() -> None:
    limits = resolve_config({}, environ={})["max_reject_fraction"]
    assert limits == {"etl_a": 0.5, "cut": 0.9, "fill": 0.9, "render": 0.9, "lossmask": 0.9}
    given = {"max_reject_fraction": "0.25"}
    assert resolve_config(given, environ={})["max_reject_fraction"] == dict.fromkeys(limits, 0.25)
    given = {"max_reject_fraction": "{render: 1}"}
    assert resolve_config(given, environ={})["max_reject_fraction"] == limits | {"render": 1}


@pytest.mark.parametrize("value", ["1.5", "{render: -1}", "{rendr: 0.5}", "most"])
def test_a_reject_limit_that_is_no_share_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="max_reject_fraction"):
        resolve_config({"max_reject_fraction": value}, environ={})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"split": "{train 0.9}"},
            r"split\['train 0.9'\]: None .*e\.g\. \{train: 0\.9, eval: 0\.1\}",
        ),
        ({"template_fit": "nothing"}, "template_fit: 'nothing' .*a list of split_parallel_calls"),
        ({"call_format": "any"}, "call_format: 'any' is not allowed. Fix: give auto, llama_json"),
    ],
)
def test_a_wrong_value_is_told_with_what_fits(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_config(given, environ={})


def test_a_path_of_raw_data_that_is_not_there_may_be_null(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="or agentdojo_path=null to leave this source out"):
        find_file("agentdojo_path", "nothing", tmp_path)
