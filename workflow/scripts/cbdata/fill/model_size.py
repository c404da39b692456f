"""How much memory a model takes, from its own files: weights, and cache for each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cbdata.fill.models import WEIGHT_INDEXES, ModelMissing, read_config, weight_files

CACHE_TYPE_BYTES = 2
"""Bytes of a number in the cache: float16 and bfloat16."""


@dataclass(frozen=True)
class ModelSize:
    """A model's bytes: of its weights, and of the cache for each token. ``heads`` are those of its
    attention, a number that tensor_parallel must divide; ``layers`` can be divided among nodes.
    """

    weight_bytes: int
    cache_bytes: int
    heads: int
    layers: int


def model_size(folder: Path, cache_type_bytes: int = CACHE_TYPE_BYTES) -> ModelSize:
    """Read the size of a model.

    Args:
        folder: An ordinary Hugging Face model folder; the weights may be missing where their index
            is there.
        cache_type_bytes: Bytes of a number in the cache, 1 for ``kv_cache_dtype: fp8``.

    Raises:
        ModelMissing: Its files do not tell.
    """
    config = read_config(folder)
    part = config.get("text_config")
    text: Mapping[str, Any] = part if isinstance(part, dict) else config
    heads, layers = text.get("num_attention_heads"), text.get("num_hidden_layers")
    if not isinstance(heads, int) or not isinstance(layers, int):
        raise ModelMissing(f"{folder}/config.json: no number of attention heads, or of layers")
    numbers = _cached_numbers(folder, text, heads)
    return ModelSize(_weight_bytes(folder), layers * numbers * cache_type_bytes, heads, layers)


def _cached_numbers(folder: Path, text: Mapping[str, Any], heads: int) -> int:
    """Numbers that a layer keeps for each token: a key and a value for each of its key-value heads,
    or the shared vector of multi-head latent attention (DeepSeek).
    """
    if latent := text.get("kv_lora_rank"):
        return int(latent) + int(text.get("qk_rope_head_dim") or 0)
    width = text.get("head_dim") or int(text.get("hidden_size") or 0) // heads
    if not width:
        raise ModelMissing(f"{folder}/config.json: no head_dim and no hidden_size")
    return 2 * int(text.get("num_key_value_heads") or heads) * int(width)


def _weight_bytes(folder: Path) -> int:
    for name in WEIGHT_INDEXES:
        if (folder / name).is_file():
            try:
                return int(orjson.loads((folder / name).read_bytes())["metadata"]["total_size"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                break
    size = sum(path.stat().st_size for path in weight_files(folder))
    if not size:
        raise ModelMissing(f"{folder}: no weights, and no index that tells their size")
    return size
