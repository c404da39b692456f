"""A Llama-shaped model with random weights and a real tokenizer: real engines run it, and it costs
nothing to load.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

SPECIAL = {"bos_token_id": 128000, "eos_token_id": 128009, "pad_token_id": 128004}


def write_random_llama(
    tokenizer: Path,
    out: Path,
    vocab_size: int = 128256,
    special: Mapping[str, int] = SPECIAL,
    context: int = 4096,
) -> Path:
    """Write a model directory for a tokenizer, by default that of Llama 3.1: 2 layers of width 128,
    seeded, everything it says is noise.

    One output is not noise: a constant part of the hidden state favours the closing quote, so that
    a constrained call's strings come to an end within a few tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "vocab"
    ]
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        **special,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[vocabulary['"'], 0] = 2.0
        model.lm_head.weight[special["eos_token_id"], 0] = 2.0
    model.save_pretrained(out)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tokenizer / file).is_file():
            shutil.copy(tokenizer / file, out / file)
    return out
