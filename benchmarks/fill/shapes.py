"""Models of a known shape with random weights, which vLLM makes up as it loads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

SHAPES = {
    "smollm2-1.7b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "tie_word_embeddings": True,
    },
    "llama-8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
"""From the config.json of SmolLM2-1.7B-Instruct and Llama-3.1-8B-Instruct."""

DUMMY = {"load_format": "dummy"}
"""The ``engine_args`` with which such a model is loaded."""


def write_shape(name: str, tokenizer: Path, out: Path) -> Path:
    """Write the folder of a model of this shape with the tokenizer of another model's folder.

    The context is the tokenizer's model's; the weights are a file of one byte, which is not read.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = json.loads((tokenizer / "config.json").read_text(encoding="utf-8"))
    same = (
        "vocab_size",
        "max_position_embeddings",
        "bos_token_id",
        "eos_token_id",
        "rope_theta",
        "rope_parameters",
    )
    text = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "dtype": "bfloat16",
        **{key: config[key] for key in same if key in config},
        **SHAPES[name],
    }
    (out / "config.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
    (out / "model.safetensors").write_bytes(b"\0")
    for pattern in ("tokenizer*", "*.jinja", "generation_config.json", "special_tokens_map.json"):
        for file in tokenizer.glob(pattern):
            shutil.copy(file, out / file.name)
    return out
