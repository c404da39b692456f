"""TRL's own preparation of the same traces: one templated call per trace, assistant masks from the
template's generation tags.

usage: python trl_prepare.py TRACES.jsonl TOKENIZER_DIR CACHE_DIR

``SFTTrainer._prepare_dataset`` is called on a stand-in for the trainer, so no model is loaded. The
template is TRL's qwen3_training.jinja, because a tokenizer's stock template has no generation tags.
Arguments are JSON text, since an Arrow column cannot hold objects of different keys. TRL leaves its
result in an Arrow cache; nothing is written as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

traces, tokenizer_dir, cache = sys.argv[1:]
os.environ["HF_HUB_OFFLINE"], os.environ["HF_DATASETS_CACHE"] = "1", cache

import datasets  # noqa: E402
import trl  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402


def chat(trace: dict[str, Any]) -> dict[str, Any]:
    messages = []
    for message in trace["messages"]:
        calls = [
            {
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": json.dumps(call["function"]["arguments"]),
                },
            }
            for call in message.get("tool_calls", ())
        ]
        messages.append(
            {"role": message["role"], "content": message["content"], "tool_calls": calls}
        )
    return {"messages": messages}


datasets.disable_progress_bars()
rows = [chat(json.loads(line)) for line in Path(traces).read_text().splitlines()]
tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir, local_files_only=True)
template = (Path(trl.__file__).parent / "chat_templates" / "qwen3_training.jinja").read_text()
config = SFTConfig(
    output_dir=cache,
    assistant_only_loss=True,
    max_length=4096,
    report_to=[],
    use_cpu=True,
    bf16=False,
)
trainer = SimpleNamespace(chat_template=template, completion_only_loss=False, _tokenizer=tokenizer)
prepared = SFTTrainer._prepare_dataset(
    trainer, datasets.Dataset.from_list(rows), tokenizer, config, False, None, "train"
)
print(
    json.dumps(
        {
            "traces": len(prepared),
            "trained_tokens": sum(
                sum(label != -100 for label in row) for row in prepared["labels"]
            ),
        }
    )
)
