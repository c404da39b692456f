"""What a run is told about its model while it is planned."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cbdata.config import ConfigError
from cbdata.fill.backends.base import Backend
from cbdata.fill.backends.transformers_backend import TransformersBackend
from cbdata.fill.backends.vllm_backend import VllmBackend
from cbdata.fill.models import ModelMissing
from cbdata.fill.planning import PlannedModel, check_plan
from tests.fill_settings import fill_settings, runtime_settings

CONFIG = {
    "max_position_embeddings": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 8,
    "dtype": "bfloat16",
}


@pytest.fixture
def plan(model_folder: Path, repo: Path) -> Any:
    """Plan a run of a model of 32 heads; keys of settings and of run-time settings by name."""
    (model_folder / "config.json").write_text(json.dumps(CONFIG))
    runtime_keys = {
        *("tensor_parallel", "pipeline_parallel", "nodes_per_engine", "engines_per_job"),
        *("offline", "cpu_offload_gb"),
    }

    def check(backend: Backend | None = None, **changes: Any) -> PlannedModel | None:
        runtime = {key: changes.pop(key) for key in runtime_keys & changes.keys()}
        return check_plan(
            fill_settings(**{"model": str(model_folder), **changes}),
            runtime_settings(cache_dir=str(model_folder.parent / "cache"), **runtime),
            backend or VllmBackend(),
            str(repo / "configs/tool_schemas/b4_standard_v1.json"),
            make_grammar=False,
        )

    return check


def grow(folder: Path, size: float) -> None:
    """Make the weights this large, without writing them."""
    with open(folder / "model.safetensors", "r+b") as handle:
        handle.truncate(int(size))


def test_a_model_that_is_there_is_described(plan: Any, model_folder: Path) -> None:
    grow(model_folder, 16.1e9)
    planned = plan()
    assert planned.folder == model_folder
    assert planned.lines == (f"model {model_folder}: context 4096 tokens, weights 15.0 GiB",)


def test_planning_imports_no_engine(plan: Any) -> None:
    before = set(sys.modules)
    plan(constrain_tool_calls=True)
    assert not {"vllm", "transformers", "xgrammar"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes_per_engine": 2, "engines_per_job": 2}, ["exclude each other"]),
        ({"max_model_len": 4097}, ["max_model_len: 4097 is more than the model's own 4096"]),
        ({"max_tokens": 4096}, ["max_tokens: 4096 leaves no room", "4096 tokens"]),
        ({"max_tokens": 9, "max_model_len": 9}, ["max_tokens: 9 leaves no room", "context of 9"]),
        ({"engine_args": {"max_seqs": 1}}, ["'max_seqs' is no argument"]),
        ({"chat_template": "./none.jinja"}, ["none.jinja"]),
        ({"call_format": "glm", "constrain_tool_calls": True}, ["glm has no grammar"]),
    ],
)
def test_what_would_make_every_job_fail_is_told(
    plan: Any, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(**changes)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_part_that_is_missing_is_named(plan: Any, model_folder: Path, name: str) -> None:
    (model_folder / name).unlink()
    with pytest.raises(ModelMissing, match=name.removeprefix("model.")):
        plan()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("org/name", ["make cache-model MODEL=org/name", "cache/models--org--name"]),
        ("./nowhere", ["no such folder"]),
    ],
)
def test_a_model_that_is_not_here_is_another_error_unless_more_is_wrong(
    plan: Any, model: str, words: list[str]
) -> None:
    with pytest.raises(ModelMissing) as caught:
        plan(model=model)
    with pytest.raises(ConfigError, match="quantization") as wrong:
        plan(model=model, quantization="q")
    for word in words:
        assert word in str(caught.value) and word in str(wrong.value)


def test_a_model_without_a_tokenizer_is_told(plan: Any, model_folder: Path) -> None:
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"expected a tokenizer\.json"):
        plan()


def test_a_model_without_a_chat_template_is_told(plan: Any, model_folder: Path) -> None:
    (model_folder / "chat_template.jinja").unlink(missing_ok=True)
    file = model_folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": None}))
    with pytest.raises(ConfigError, match="has no chat template"):
        plan()


def test_every_problem_is_told_at_once(plan: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(max_model_len=9999, quantization="q", chat_template="./none")
    assert len(caught.value.problems) == 3


def test_a_model_that_the_job_may_fetch_is_no_problem(plan: Any) -> None:
    assert plan(model="org/name", offline=False) is None
    with pytest.raises(ConfigError, match="quantization"):
        plan(model="org/name", offline=False, quantization="q")


@pytest.mark.parametrize(
    ("gigabytes", "changes", "least"),
    [
        (59, {}, None),
        (61, {}, 2),
        (61, {"tensor_parallel": 2}, None),
        (61, {"pipeline_parallel": 2}, None),
        (141, {}, 4),  # three would do, but 32 heads are not divided by three
        (141, {"tensor_parallel": 2}, 4),
        (141, {"tensor_parallel": 2, "nodes_per_engine": 2}, None),
        (40, {"dtype": "float32"}, 2),
        (141, {"quantization": "fp8"}, None),
        (141, {"cpu_offload_gb": 200}, None),
    ],
)
def test_how_many_cards_the_weights_want_is_a_hint(
    plan: Any, model_folder: Path, gigabytes: float, changes: dict[str, Any], least: int | None
) -> None:
    grow(model_folder, gigabytes * 1e9)
    hints = [line for line in plan(**changes).lines if line.startswith("hint")]
    assert [f"tensor_parallel={least} at least" in hint for hint in hints] == [True] * bool(least)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"tensor_parallel": 3},
            "tensor_parallel=3 does not divide the model's 32 attention heads",
        ),
        ({"pipeline_parallel": 9}, "pipeline_parallel=9 is more than the model's 8 layers"),
        (
            {"pipeline_parallel": 3, "nodes_per_engine": 3},
            "pipeline_parallel=3 on 3 nodes is more than the model's 8 layers",
        ),
    ],
)
def test_a_division_that_vllm_refuses_is_a_warning(
    plan: Any, changes: dict[str, Any], warning: str
) -> None:
    (line,) = plan(**changes).lines[1:]
    assert line.startswith(f"warning: {warning}")


@pytest.mark.parametrize(
    ("heads", "gpus", "said"),
    [
        # Phi-4.
        (
            {"num_attention_heads": 40, "num_key_value_heads": 10},
            4,
            ("10", "1, 2, 5, 10"),
        ),
        # Qwen2.5-32B.
        (
            {"num_attention_heads": 40, "num_key_value_heads": 8},
            5,
            ("8", "1, 2, 4, 8"),
        ),
        ({"num_attention_heads": 32, "num_key_value_heads": 2}, 8, None),
        # DeepSeek: latent attention keeps one vector for all heads.
        (
            {"num_attention_heads": 128, "num_key_value_heads": 100, "kv_lora_rank": 512},
            8,
            None,
        ),
    ],
)
def test_key_value_heads_that_vllm_cannot_divide_are_a_warning(
    plan: Any, model_folder: Path, heads: dict[str, int], gpus: int, said: tuple[str, str] | None
) -> None:
    (model_folder / "config.json").write_text(json.dumps({**CONFIG, **heads}))
    lines = plan(tensor_parallel=gpus).lines[1:]
    if said is None:
        assert lines == ()
        return
    (line,) = lines
    assert line == (
        f"warning: tensor_parallel={gpus} neither divides the model's {said[0]} key-value heads nor"
        f" is a multiple of them, which vLLM refuses: take one of {said[1]}"
    )


def test_the_hint_names_no_number_that_vllm_refuses(plan: Any, model_folder: Path) -> None:
    """Four cards would hold 200 GB, but 10 key-value heads go into five."""
    heads = {"num_attention_heads": 40, "num_key_value_heads": 10}
    (model_folder / "config.json").write_text(json.dumps({**CONFIG, **heads}))
    grow(model_folder, 200e9)
    (hint,) = plan().lines[1:]
    assert "tensor_parallel=5 at least" in hint


def test_transformers_divides_nothing(plan: Any, model_folder: Path) -> None:
    grow(model_folder, 200e9)
    assert len(plan(TransformersBackend(), tensor_parallel=3).lines) == 1
