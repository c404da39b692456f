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

KV_HEADS_KEYS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
"""What config.json calls the number of key-value heads: those names that vLLM 0.32 reads."""


@dataclass(frozen=True)
class ModelSize:
    """A model's bytes: of its weights, and of the cache for each token. ``heads`` are those of its
    attention, ``kv_heads`` those that have a key and a value in the cache, 1 under multi-head
    latent attention; ``splits`` says among how many GPUs they go. ``layers`` can be divided among
    nodes.
    """

    weight_bytes: int
    cache_bytes: int
    heads: int
    layers: int
    kv_heads: int


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a model's ``config.json`` that is about text: all of it, but in a multimodal
    one.
    """
    part = config.get("text_config")
    return part if isinstance(part, dict) else config


def key_value_heads(text: Mapping[str, Any], heads: int) -> int:
    """Into how many parts the cache of a token can be divided.

    Args:
        text: The part of ``config.json`` that is about text.
        heads: Its attention heads, which all have a key and a value where it says nothing else.
    """
    if text.get("kv_lora_rank"):
        return 1
    found = (text.get(key) for key in KV_HEADS_KEYS)
    return next((value for value in found if isinstance(value, int) and value > 0), heads)


def splits(heads: int, kv_heads: int, gpus: int) -> bool:
    """Whether vLLM divides a model among so many GPUs: each gets as many heads as any other, and
    either some key-value heads of its own or a copy of one.

    Args:
        heads: The model's attention heads.
        kv_heads: Its key-value heads.
        gpus: The value of tensor_parallel.
    """
    return heads % gpus == 0 and (kv_heads % gpus == 0 or gpus % kv_heads == 0)


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
    text = text_part(config)
    heads, layers = text.get("num_attention_heads"), text.get("num_hidden_layers")
    if not (isinstance(heads, int) and isinstance(layers, int) and heads > 0 and layers > 0):
        raise ModelMissing(f"{folder}/config.json: no number of attention heads, or of layers")
    kv_heads = key_value_heads(text, heads)
    cache = layers * _cached_numbers(folder, text, heads, kv_heads) * cache_type_bytes
    return ModelSize(_weight_bytes(folder), cache, heads, layers, kv_heads)


def _cached_numbers(folder: Path, text: Mapping[str, Any], heads: int, kv_heads: int) -> int:
    """Numbers that a layer keeps for each token: a key and a value for each of its key-value heads,
    or the shared vector of multi-head latent attention (DeepSeek).
    """
    if latent := text.get("kv_lora_rank"):
        return int(latent) + int(text.get("qk_rope_head_dim") or 0)
    width = text.get("head_dim") or int(text.get("hidden_size") or 0) // heads
    if not width:
        raise ModelMissing(f"{folder}/config.json: no head_dim and no hidden_size")
    return 2 * kv_heads * int(width)


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
