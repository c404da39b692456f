"""The data set card that a Hugging Face data set page shows, made from the manifest alone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
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
        "assistant_masks",
        "list of int8",
        "1 where `loss_mask` > 0, else 0: what TRL reads with `assistant_only_loss`",
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
{configs}---
"""

CONFIGS = (
    (
        "benign",
        "rows in which the model did the right thing",
        "fine-tuning; what a defence retains",
    ),
    (
        "harmful",
        "rows in which the model followed an injection",
        (
            "what a circuit breaker turns away from. **Plain fine-tuning on them teaches a model to"
            " follow injections**"
        ),
    ),
    (
        "pairs",
        "the harmful and the benign completion of one skeleton in one row",
        "training on twins; columns as below, twice, with `ds_` and `dr_` before their names",
    ),
    ("all", "harmful and benign rows", "trainers that read `category`"),
)
"""Name, contents and purpose of each part that can be loaded, in the order of the card."""

VALIDATION_NAMES = ("eval", "val", "valid", "dev")
"""Names of splits that the card calls validation, the name that trainers look for."""

INTRO = """# Circuit-breaker training rows

Agent conversations as token ids with loss masks, for training that reroutes the representations of harmful tool calls and keeps
those of benign ones. **Rows of category `harmful` hold prompt injections and completions that follow them**; they are data to
train a defence on, not instructions.
"""  # noqa: E501 - embedded text

LOADING = """## Loading

In the folder above this one (elsewhere give its path or its name on the Hub instead of `export`):

```python
from datasets import load_dataset

rows = load_dataset("export", "{config}", split="{split}")
```

"""

USE = """
`labels` are ready for a Hugging Face model, which shifts them itself. Pad `labels` with -100, `input_ids` with {pad}, and the
other token columns with 0.
"""  # noqa: E501 - embedded text

NO_PAD = (
    "any id (the tokenizer names no pad token; labels of -100 and an attention mask of 0 hide it)"
)

WEIGHTS = {
    "columns": """
**Weights are columns.** The `Trainer` of transformers and the `SFTTrainer` of TRL read neither `sample_weight` nor fractions in
`loss_mask`: for them every row and every token with a label counts as 1. Use a loss that multiplies the cross-entropy of token
*i* by `loss_mask[i]` and that of the row by `sample_weight`, or export with `export_weights: resample`. Do not train with TRL's
`packing` in versions that drop `labels` (0.24 to 1.0): it trains every token, those of the attack as well.
""",  # noqa: E501 - embedded text
    "resample": """
**Weights are in the rows.** Rows were repeated and left out as their weights say, and tokens of a fractional weight kept or
lost their label, so that trainers that ignore `sample_weight` and `loss_mask` train as weighted. Both columns hold zeros and
ones. `pairs` has the weights as they were. Do not train with TRL's `packing` in versions that drop `labels` (0.24 to 1.0).
""",  # noqa: E501 - embedded text
}


def code(value: Any) -> str:
    """Write a value as inline code on one line, whatever characters it holds."""
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(value))
    return "`" + text.replace("`", "'") + "`"


def cell(value: Any) -> str:
    """Write a value as inline code for a Markdown table; a dash for None."""
    return "-" if value is None else code(value).replace("|", "\\|")


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


def _version(manifest: dict[str, Any]) -> str:
    """A version of three numbers that differs from export to export: ``datasets`` keeps what it has
    once loaded from a folder under the folder's name and this version.
    """
    files = [entry["sha256"] for entry in manifest["files"].values()]
    digest = hashlib.sha256("\n".join([*files, *manifest["inputs"].values()]).encode()).digest()
    return f"1.{int.from_bytes(digest[:4])}.{int.from_bytes(digest[4:8])}"


def card_split(split: str, splits: Collection[str]) -> str:
    """The name under which the card shows a split: ``validation`` for the usual other names of it,
    where no other split is called so.
    """
    others = [name for name in splits if name in VALIDATION_NAMES or name == "validation"]
    return "validation" if others == [split] else split


def _data_files(manifest: dict[str, Any], config: str) -> dict[str, str]:
    """The file of each split in a config, without splits that have no rows in it."""
    if config == "pairs":
        found = {
            split: f"pairs/{split}.parquet"
            for split, counts in manifest["splits"].items()
            if counts["pairs"]
        }
    else:
        folder = "data" if config == "all" else config
        found = {
            entry["split"]: path
            for path, entry in manifest["files"].items()
            if path.startswith(f"{folder}/")
        }
    return {card_split(split, manifest["splits"]): path for split, path in found.items()}


def _front_matter(manifest: dict[str, Any]) -> str:
    # Split names match \w+(\.\w+)*; quoted, because YAML reads "null" or "1" as something else.
    parts = []
    for config, _, _ in CONFIGS:
        files = "".join(
            f'  - split: "{split}"\n    path: "{path}"\n'
            for split, path in _data_files(manifest, config).items()
        )
        if files:
            head = f'- config_name: {config}\n  version: "{_version(manifest)}"\n'
            parts.append(f"{head}  data_files:\n{files}")
    return FRONT_MATTER.format(configs="configs:\n" + "".join(parts) if parts else "")


def _lengths(manifest: dict[str, Any]) -> str:
    lengths = manifest["lengths"]
    if not lengths:
        return ""
    shares = ", ".join(
        f"{name.removeprefix('p')}% have at most {length:,}"
        for name, length in lengths.items()
        if name != "longest"
    )
    return (
        f"\nThe longest row has {lengths['longest']:,} tokens; {shares}. A trainer's `max_length`"
        f" below {lengths['longest']} cuts rows, mostly their completions.\n"
    )


def _loading(manifest: dict[str, Any]) -> str:
    there = {config: _data_files(manifest, config) for config, _, _ in CONFIGS}
    first = next((config for config in there if there[config]), "benign")
    split = next(iter(there[first]), "train")
    if "train" in there[first]:
        split = "train"
    pad = manifest["pad_token"]
    rows = [
        [cell(config), ", ".join(map(cell, there[config])), holds, use]
        for config, holds, use in CONFIGS
        if there[config]
    ]
    return (
        LOADING.format(config=first, split=split)
        + table(("config", "splits", "rows", "for"), rows)
        + USE.format(pad=f"{pad['id']} ({code(pad['text'])})" if pad else NO_PAD)
        + WEIGHTS[manifest["weights"]]
    )


def _sizes(manifest: dict[str, Any]) -> str:
    head = (
        "split",
        "rows",
        "tokens",
        "tokens with loss",
        "pairs",
        "rows of weight 0",
        "bytes",
        "bytes a token",
    )
    lines = []
    for split, path in _data_files(manifest, "all").items():
        entry = manifest["files"][path]
        counts = manifest["splits"][entry["split"]]
        numbers = [
            counts[key] for key in ("rows", "tokens", "trained_tokens", "pairs", "zero_weight_rows")
        ]
        per_token = f"{entry['bytes'] / counts['tokens']:.2f}" if counts["tokens"] else "-"
        lines.append(
            [
                cell(split),
                *(f"{number:,}" for number in (*numbers, entry["bytes"])),
                per_token,
            ]
        )
    return table(head, lines) + _lengths(manifest)


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
        _loading(manifest),
        "## Sources and licences\n\n" + _sources(manifest),
        "## Hashes\n\n" + _hashes(manifest),
    ]
    return "\n".join(parts)
