"""A small random Llama, and the exports that it is trained on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cbdata.export.dataset import export_parquet
from cbdata.export.pairs import export_pairs
from tests.records import Corpus

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export folder of twelve DS/DR twins, with the pairs in it; the tokenizer lies
    beside it.
    """
    folder = tmp_path_factory.mktemp("training")
    corpus = Corpus(pairs=12, validation_pairs=2).write(folder)
    export_parquet([corpus.mask_file], [corpus.render_file], [corpus.trace_file], folder / "export")
    export_pairs([corpus.mask_file], [corpus.render_file], folder / "export/pairs")
    return folder / "export"


@pytest.fixture(scope="session")
def tokenizer(exported: Path) -> Any:
    """The toy tokenizer as transformers sees it; its end-of-turn token pads."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=str(exported.parent / "tokenizer/tokenizer.json"),
        pad_token="<|im_end|>",
        eos_token="<|im_end|>",
    )


@pytest.fixture
def model(tokenizer: Any) -> Any:
    """Two layers of random weights, the same for every test, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config).float()
