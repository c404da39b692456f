"""The scripts of ``examples/`` train on an export, and count every weight."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.rows import load_rows


def load(repo: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repo / f"examples/{name}/train.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def saved(model: Any, tokenizer: Any, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def run(repo: Path, name: str, exported: Path, model: Path, out: Path, *more: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            f"examples/{name}/train.py",
            str(exported),
            "--model",
            str(model),
            "--out",
            str(out),
            *more,
        ],
        cwd=repo,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_weighted_loss_counts_tokens_and_rows_by_their_weights(
    exported: Path, model: Any, repo: Path
) -> None:
    script = load(repo, "weighted_sft")
    rows = [load_rows(exported)[index] for index in range(3)]
    rows[0]["sample_weight"] = 0.25
    rows[1]["loss_mask"] = [0.5 * weight for weight in rows[1]["loss_mask"]]
    batch = script.collate(rows, pad=0)
    with torch.no_grad():
        logits = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits.double()
    found = script.weighted_loss(logits, batch["input_ids"], batch["weights"])
    total = weights = 0.0
    for row, scores in zip(rows, logits.numpy(), strict=True):
        for position in range(1, len(row["input_ids"])):
            weight = row["loss_mask"][position] * row["sample_weight"]
            before = scores[position - 1]
            largest = before.max()
            log_sum = largest + np.log(np.exp(before - largest).sum())
            total += weight * (log_sum - before[row["input_ids"][position]])
            weights += weight
    assert float(found) == pytest.approx(total / weights, abs=1e-5)


def test_weighted_fine_tuning_learns_the_benign_rows(
    exported: Path, saved: Path, repo: Path, tmp_path: Path
) -> None:
    said = run(
        repo,
        "weighted_sft",
        exported,
        saved,
        tmp_path / "out",
        "--steps",
        "30",
        "--learning-rate",
        "5e-3",
    )
    seen = [float(loss) for loss in re.findall(r"'loss': '?([\d.]+)", said)]
    assert len(seen) == 6 and seen[-1] < seen[0] / 2
    assert (tmp_path / "out/model.safetensors").is_file()


def test_rerouting_turns_the_harmful_side_and_holds_the_benign_one(
    exported: Path, saved: Path, repo: Path, tmp_path: Path
) -> None:
    said = run(
        repo,
        "representation_rerouting",
        exported,
        saved,
        tmp_path / "out",
        "--steps",
        "40",
        "--learning-rate",
        "5e-3",
    )
    steps = [
        (float(reroute), float(retain))
        for reroute, retain in re.findall(r"reroute ([\d.]+), retain ([\d.]+)", said)
    ]
    # Without any training the adapter changes nothing: the states are equal.
    assert steps[0] == (pytest.approx(1.0, abs=1e-3), pytest.approx(0.0, abs=1e-3))
    assert steps[-1][0] < 0.5
    assert (tmp_path / "out/adapter_model.safetensors").is_file()


def test_weights_and_pooling_masks_of_pairs_reach_the_losses(repo: Path) -> None:
    script = load(repo, "representation_rerouting")
    row = {"dr_input_ids": [5, 6, 7], "dr_attention_mask": [1, 1, 1], "dr_sample_weight": 2.0}
    row["dr_loss_mask"] = [0.0, 0.5, 1.0]
    assert script.side([row], "dr", 0)["weights"].tolist() == [[0.0, 1.0, 2.0]]
    row["dr_pooling_mask"] = [1.0, 0.0, 0.0]
    assert script.side([row], "dr", 0)["weights"].tolist() == [[2.0, 0.0, 0.0]]
