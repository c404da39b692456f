"""Supervised fine-tuning on an export with every weight honoured.

The loss of a batch is sum(w * nll) / sum(w) over its tokens, where w is a token's ``loss_mask``
times its row's ``sample_weight``. Stock trainers read neither.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments


def collate(rows: list[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Pad rows on the right.

    Args:
        rows: Rows of the export.
        pad: The id that pads; attention 0 and weight 0 hide it.

    Returns:
        ``input_ids`` and ``attention_mask``, batch x tokens, and ``weights`` of the same shape: the
        weight of the prediction of each token.
    """

    def padded(values: list[torch.Tensor], value: float) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=value)

    return {
        "input_ids": padded([torch.tensor(row["input_ids"]) for row in rows], pad),
        "attention_mask": padded([torch.tensor(row["attention_mask"]) for row in rows], 0),
        "weights": padded(
            [torch.tensor(row["loss_mask"]) * row["sample_weight"] for row in rows], 0.0
        ),
    }


def weighted_loss(
    logits: torch.Tensor, input_ids: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted mean of the cross-entropy.

    Args:
        logits: batch x tokens x vocabulary; those at position i predict token i + 1.
        input_ids: batch x tokens.
        weights: batch x tokens; ``weights[i]`` is of the prediction of token i.

    Returns:
        A scalar; 0 where every weight is 0.
    """
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), input_ids[:, 1:], reduction="none"
    )
    weights = weights[:, 1:]
    return (losses * weights).sum() / weights.sum().clamp_min(1e-8)


class WeightedTrainer(Trainer):
    """A Trainer whose loss reads the weights."""

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any
    ) -> Any:
        """The weighted loss of a batch of ``collate``, with the model's output where asked for."""
        weights = inputs.pop("weights")
        output = model(**inputs)
        loss = weighted_loss(output.logits, inputs["input_ids"], weights)
        return (loss, output) if return_outputs else loss


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", help="the export folder of a run")
    parser.add_argument("--model", required=True, help="a model folder or hub id")
    parser.add_argument("--out", required=True, help="where the trained model goes")
    parser.add_argument("--config", default="benign", help="part of the export (%(default)s)")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--batch-size", type=int, default=4)
    given = parser.parse_args()
    rows = load_dataset(given.export, given.config, split="train")
    rows = rows.filter(lambda row: row["sample_weight"] > 0)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    trainer = WeightedTrainer(
        AutoModelForCausalLM.from_pretrained(given.model),
        TrainingArguments(
            output_dir=given.out,
            max_steps=given.steps,
            learning_rate=given.learning_rate,
            per_device_train_batch_size=given.batch_size,
            logging_steps=5,
            report_to=[],
            save_strategy="no",
            remove_unused_columns=False,  # the weights are columns that no model takes
            seed=0,
        ),
        train_dataset=rows,
        data_collator=lambda batch: collate(batch, pad),
    )
    trainer.train()
    trainer.save_model(given.out)
    tokenizer.save_pretrained(given.out)


if __name__ == "__main__":
    main()
