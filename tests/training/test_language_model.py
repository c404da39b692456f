"""Trainers of transformers and TRL take the export as it is, and train on exactly the tokens that
the masks name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

from tests.training.rows import LEARNING_RATE, load_rows

TOKEN_COLUMNS = ["input_ids", "attention_mask", "labels"]


def by_hand(logits: torch.Tensor, rows: list[dict[str, Any]]) -> float:
    """Cross-entropy of the tokens with loss, each predicted from the position before it, in plain
    numpy.
    """
    total, count = 0.0, 0
    for row_logits, row in zip(logits.double().numpy(), rows, strict=True):
        for position in range(1, len(row["input_ids"])):
            if row["loss_mask"][position] > 0:
                scores = row_logits[position - 1]
                total += (
                    np.log(np.exp(scores - scores.max()).sum())
                    + scores.max()
                    - scores[row["input_ids"][position]]
                )
                count += 1
    return total / count


def collated(
    rows: Any, tokenizer: Any, count: int = 6
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """The first rows as a batch, and as they are in the export."""
    picked = [rows[index] for index in range(count)]
    batch = DataCollatorForTokenClassification(tokenizer)(
        [{key: row[key] for key in TOKEN_COLUMNS} for row in picked]
    )
    return dict(batch), picked


def test_the_models_own_loss_is_the_masked_cross_entropy(
    exported: Path, tokenizer: Any, model: Any
) -> None:
    batch, rows = collated(load_rows(exported), tokenizer)
    with torch.no_grad():
        output = model(**batch)
    assert float(output.loss) == pytest.approx(by_hand(output.logits, rows), abs=1e-5)
    shifted = [row | {"loss_mask": [*row["loss_mask"][1:], 0.0]} for row in rows]
    assert abs(float(output.loss) - by_hand(output.logits, shifted)) > 1e-3


def test_only_the_positions_before_tokens_with_loss_get_gradients(
    exported: Path, tokenizer: Any, model: Any
) -> None:
    batch, rows = collated(load_rows(exported), tokenizer)
    output = model(**batch)
    output.logits.retain_grad()
    output.loss.backward()
    touched = output.logits.grad.abs().sum(-1) > 0
    expected = torch.zeros_like(touched)
    for index, row in enumerate(rows):
        for position, weight in enumerate(row["loss_mask"]):
            if weight > 0:
                expected[index, position - 1] = True
    assert torch.equal(touched, expected)


def arguments(
    folder: Path, kind: type[TrainingArguments] = TrainingArguments, **more: Any
) -> TrainingArguments:
    return kind(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        num_train_epochs=5,
        learning_rate=LEARNING_RATE,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_steps=1,
        seed=0,
        disable_tqdm=True,
        **more,
    )


def check_history(trainer: Trainer, before: float) -> None:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 30
    assert losses[0] == pytest.approx(before, rel=0.25)
    assert losses[-1] < losses[0] / 2


def test_a_plain_trainer_learns_from_the_export(
    exported: Path, tokenizer: Any, model: Any, tmp_path: Path
) -> None:
    rows = load_rows(exported)
    trainer = Trainer(
        model,
        arguments(tmp_path),
        train_dataset=rows,
        data_collator=DataCollatorForTokenClassification(tokenizer),
    )
    batch, picked = collated(rows, tokenizer, 24)
    with torch.no_grad():
        before = by_hand(model(**batch).logits, picked)
    trainer.train()
    check_history(trainer, before)
    with torch.no_grad():
        output = model(**batch)
    assert float(output.loss) == pytest.approx(by_hand(output.logits, picked), abs=1e-5)
    assert float(output.loss) < before / 2


def test_trl_takes_the_export_as_tokenised_rows(
    exported: Path, tokenizer: Any, model: Any, tmp_path: Path
) -> None:
    trl = pytest.importorskip("trl")
    rows = load_rows(exported)
    batch, picked = collated(rows, tokenizer, 24)
    with torch.no_grad():
        before = by_hand(model(**batch).logits, picked)
    config = arguments(
        tmp_path, trl.SFTConfig, max_length=256, bf16=False, gradient_checkpointing=False
    )
    trainer = trl.SFTTrainer(model, config, train_dataset=rows, processing_class=tokenizer)
    assert trainer.train_dataset["labels"][:] == rows["labels"][:]
    first = next(iter(trainer.get_train_dataloader()))
    assert set(first) >= {"input_ids", "labels"}
    trainer.train()
    check_history(trainer, before)
    with torch.no_grad():
        assert by_hand(model(**batch).logits, picked) < before / 2


def test_fractional_weights_and_row_weights_are_there_for_a_loss_that_wants_them(
    exported: Path, tokenizer: Any, model: Any
) -> None:
    rows = load_rows(exported)
    batch, picked = collated(rows, tokenizer)
    weights = torch.zeros(batch["input_ids"].shape)
    for index, row in enumerate(picked):
        weights[index, : len(row["loss_mask"])] = (
            torch.tensor(row["loss_mask"]) * 0.5 * row["sample_weight"]
        )
    logits = model(**batch).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), batch["input_ids"][:, 1:], reduction="none"
    )
    weighted = (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()
    assert float(weighted.detach()) == pytest.approx(by_hand(logits.detach(), picked), abs=1e-5)
