"""What the trainers of this folder have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LEARNING_RATE = 5e-3


def load_rows(exported: Path, name: str = "data/train.parquet", cache: Path | None = None) -> Any:
    """Rows of an exported Parquet file as a data set."""
    from datasets import load_dataset

    return load_dataset(
        "parquet",
        data_files=str(exported / name),
        split="train",
        cache_dir=str(cache or exported.parent / "cache"),
    )
