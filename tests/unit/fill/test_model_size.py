"""What a model takes, by its own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.model_size import ModelSize, model_size
from cbdata.fill.models import ModelMissing

LLAMA_8B = {
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
}
DEEPSEEK_V3 = {
    "num_attention_heads": 128,
    "num_hidden_layers": 61,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
}


def folder(path: Path, config: dict[str, Any], total: int | None = None) -> Path:
    (path / "config.json").write_text(json.dumps(config))
    if total is not None:
        index = {"metadata": {"total_size": total}, "weight_map": {}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


@pytest.mark.parametrize(
    ("config", "cache_bytes"),
    [
        # Two vectors of 8 heads of 128 numbers in each of 32 layers, two bytes each.
        (LLAMA_8B, 2 * 8 * 128 * 32 * 2),
        ({**LLAMA_8B, "head_dim": 64}, 2 * 8 * 64 * 32 * 2),
        # Without key-value heads of their own, all heads have them.
        (
            {"num_attention_heads": 12, "num_hidden_layers": 2, "hidden_size": 768},
            2 * 12 * 64 * 2 * 2,
        ),
        ({"text_config": LLAMA_8B, "num_hidden_layers": 1}, 2 * 8 * 128 * 32 * 2),
        (DEEPSEEK_V3, (512 + 64) * 61 * 2),
    ],
)
def test_the_cache_of_a_token(tmp_path: Path, config: dict[str, Any], cache_bytes: int) -> None:
    found = model_size(folder(tmp_path, config, 7))
    assert found.cache_bytes == cache_bytes and found.weight_bytes == 7
    assert model_size(tmp_path, cache_type_bytes=1).cache_bytes == cache_bytes // 2


def test_the_weights_are_those_of_the_index_or_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 500)
    assert model_size(folder(tmp_path, LLAMA_8B)).weight_bytes == 500
    assert model_size(folder(tmp_path, LLAMA_8B, 16_060_522_496)) == ModelSize(
        16_060_522_496, 131_072, 32, 32, 8
    )


@pytest.mark.parametrize(
    ("config", "kv_heads"),
    [
        (LLAMA_8B, 8),
        (DEEPSEEK_V3, 1),
        ({**DEEPSEEK_V3, "num_key_value_heads": 128}, 1),
        ({"num_attention_heads": 12, "num_hidden_layers": 2, "head_dim": 64}, 12),
        ({**LLAMA_8B, "num_key_value_heads": None, "num_kv_heads": 1}, 1),
        ({"text_config": LLAMA_8B, "num_hidden_layers": 1}, 8),
    ],
)
def test_into_how_many_parts_the_cache_is_divided(
    tmp_path: Path, config: dict[str, Any], kv_heads: int
) -> None:
    assert model_size(folder(tmp_path, config, 7)).kv_heads == kv_heads


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no number of attention heads"),
        ({**LLAMA_8B, "num_attention_heads": 0}, "no number of attention heads"),
        ({"num_attention_heads": 4, "num_hidden_layers": 2}, "no head_dim and no hidden_size"),
        (LLAMA_8B, "no weights, and no index"),
    ],
)
def test_files_that_do_not_tell(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelMissing, match=said):
        model_size(folder(tmp_path, config))
