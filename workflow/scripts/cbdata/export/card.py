"""The data set card that a Hugging Face data set page shows, made from the manifest alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cbdata.sources.registry import SOURCES

ORIGINS = {source.name: (source.origin, source.licence) for source in SOURCES}
UNKNOWN_SOURCE = (
    "not one of the sources that the workflow brings along",
    "unknown: ask whoever provided the traces",
)

COLUMNS = (
    ("input_ids", "list of int32", "token ids, never padded"),
    ("attention_mask", "list of int8", "1 for every token"),
    (
        "labels",
        "list of int32",
        (
            "`input_ids` where `loss_mask` > 0, else -100; **not shifted**, as Hugging Face models"
            " expect"
        ),
    ),
    (
        "loss_mask",
        "list of float32",
        (
            "weight in [0, 1] of the prediction *of* that token; equal to the JSON Lines value"
            " rounded to float32"
        ),
    ),
    (
        "sample_weight",
        "float64",
        (
            "weight of the row: the trace's times its class's at the curriculum step; 0 means:"
            " leave out"
        ),
    ),
    ("category", "string", "`harmful` (reroute) or `benign` (retain)"),
    ("class_id", "string", "mixture class"),
    ("policy_id", "string", "loss mask policy"),
    ("trace_id", "string", "the trace that the row was made from"),
    (
        "pair_id",
        "string or null",
        "shared by the harmful and the benign completion of one skeleton",
    ),
    (
        "prompt_length",
        "int32",
        (
            "tokens before what the model generates in the trace's last assistant turn; all of them"
            " where a cut took that turn away"
        ),
    ),
)

POOLING_COLUMNS = (
    (
        "pooling_mask",
        "list of float32",
        "weight in [0, 1] of that token's hidden state where hidden states are pooled",
    ),
    ("pooling_policy_id", "string", "the policy that `pooling_mask` is of"),
)

FRONT_MATTER = """---
license: other
task_categories:
- text-generation
tags:
- prompt-injection
- circuit-breakers
configs:
- config_name: default
{data_files}---
"""

INTRO = """# Circuit-breaker training rows

Agent conversations as token ids with loss masks, for training that reroutes the representations of harmful tool calls and keeps
those of benign ones. **Rows of category `harmful` hold prompt injections and completions that follow them**; they are data to
train a defence on, not instructions.
"""  # noqa: E501 - embedded text

LOADING = """## Loading

```python
from datasets import load_dataset

rows = load_dataset("parquet", data_files={{{files}}}, split="{split}")
```

`labels` are ready for a Hugging Face model, which shifts them itself. Pad `labels` with -100 and the other token columns with
the pad token id, 0 and 0. A loss that honours fractional weights multiplies the cross-entropy of token *i* by `loss_mask[i]`.
"""  # noqa: E501 - embedded text


def cell(value: Any) -> str:
    """Write a value as inline code for a Markdown table, whatever characters it holds."""
    if value is None:
        return "-"
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(value))
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table. Cells must have gone through ``cell`` or be safe as they are."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def _counts(manifest: dict[str, Any], key: str, title: str) -> str:
    names = sorted({name for split in manifest["splits"].values() for name in split[key]})
    head = [title, *(cell(split) for split in manifest["splits"])]
    return table(
        head,
        (
            [cell(name), *(f"{split[key].get(name, 0):,}" for split in manifest["splits"].values())]
            for name in names
        ),
    )


def _front_matter(manifest: dict[str, Any]) -> str:
    # Split names match \w+(\.\w+)*; quoted, because YAML reads "null" or "1" as something else.
    files = "".join(
        f'  - split: "{entry["split"]}"\n    path: "{path}"\n'
        for path, entry in manifest["files"].items()
    )
    data_files = f"  data_files:\n{files}" if files else "  data_files: []\n"
    return FRONT_MATTER.format(data_files=data_files)


def _sizes(manifest: dict[str, Any]) -> str:
    head = (
        "split",
        "rows",
        "tokens",
        "tokens with loss",
        "rows in pairs",
        "rows of weight 0",
        "bytes",
        "bytes a token",
    )
    lines = []
    for entry in manifest["files"].values():
        counts = manifest["splits"][entry["split"]]
        numbers = [
            counts[key]
            for key in ("rows", "tokens", "trained_tokens", "paired_rows", "zero_weight_rows")
        ]
        per_token = f"{entry['bytes'] / counts['tokens']:.2f}" if counts["tokens"] else "-"
        lines.append(
            [
                cell(entry["split"]),
                *(f"{number:,}" for number in (*numbers, entry["bytes"])),
                per_token,
            ]
        )
    return table(head, lines)


def _sources(manifest: dict[str, Any]) -> str:
    lines = []
    for entry in manifest["sources"]:
        origin, licence = ORIGINS.get(entry["dataset"], UNKNOWN_SOURCE)
        lines.append(
            [cell(entry["dataset"]), cell(entry["file"]), f"{entry['traces']:,}", origin, licence]
        )
    text = table(("source", "file", "traces", "origin", "licence"), lines)
    if manifest["generators"]:
        text += (
            "\nCompletions of skeletons were generated, so the licence of the model applies to them"
            " as well:\n\n"
        )
        names = ("model", "revision", "backend", "version")
        text += table(
            (*names, "traces"),
            (
                [*(cell(entry[name]) for name in names), f"{entry['traces']:,}"]
                for entry in manifest["generators"]
            ),
        )
    return text


def _hashes(manifest: dict[str, Any]) -> str:
    rows = [("file", path, entry["sha256"]) for path, entry in manifest["files"].items()]
    rows += [("loss masks", name, sha256) for name, sha256 in manifest["inputs"].items()]
    rows += [
        ("tokenizer", entry["tokenizer_id"], entry["tokenizer_sha256"])
        for entry in manifest["renders"]
    ]
    rows += [
        ("chat template", entry["chat_template_name"], entry["chat_template_sha256"])
        for entry in manifest["renders"]
    ]
    rows += [
        ("tool schema", entry["version"], entry["digest"]) for entry in manifest["tool_schemas"]
    ]
    return table(
        ("what", "name", "SHA-256"),
        ([kind, cell(name), cell(sha256)] for kind, name, sha256 in dict.fromkeys(rows)),
    )


def dataset_card(manifest: dict[str, Any]) -> str:
    """Write the card as Markdown, with the YAML head that ``datasets`` and the Hub read."""
    splits = list(manifest["splits"])
    files = ", ".join(f'"{entry["split"]}": "{path}"' for path, entry in manifest["files"].items())
    pooled = any("by_pooling_policy" in split for split in manifest["splits"].values())
    parts = [
        _front_matter(manifest),
        INTRO,
        "## Size\n\n" + _sizes(manifest),
        "## Contents\n\nRows by category:\n\n" + _counts(manifest, "by_category", "category"),
        "Rows by class:\n\n" + _counts(manifest, "by_class", "class"),
        "Rows by loss mask policy:\n\n" + _counts(manifest, "by_policy", "policy"),
        *(
            [
                "Rows by policy of the pooling mask:\n\n"
                + _counts(manifest, "by_pooling_policy", "policy")
            ]
            if pooled
            else []
        ),
        "## Columns\n\n"
        + table(
            ("column", "type", "meaning"),
            (
                [f"`{name}`", kind, text]
                for name, kind, text in (*COLUMNS, *(POOLING_COLUMNS if pooled else ()))
            ),
        ),
        LOADING.format(files=files, split=splits[0] if splits else "train"),
        "## Sources and licences\n\n" + _sources(manifest),
        "## Hashes\n\n" + _hashes(manifest),
    ]
    return "\n".join(parts)
