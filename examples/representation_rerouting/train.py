"""Representation rerouting (circuit breakers, arXiv 2406.04313) on exported pairs, with LoRA.

On the harmful completion of a pair the hidden states are turned away from what the model without
the adapter has there: relu(cos). On the benign completion they are held: the L2 distance. Both
count the tokens of ``loss_mask`` (of ``pooling_mask``, where the export has one), times the row's
``sample_weight``. The first loss fades in what the second gives way to, as in the paper.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer


def side(rows: list[dict[str, Any]], name: str, pad: int) -> dict[str, torch.Tensor]:
    """One side of some pairs, padded on the right.

    Args:
        rows: Pairs.
        name: ``ds`` or ``dr``.
        pad: The id that pads.

    Returns:
        ``input_ids``, ``attention_mask`` and ``weights``, each batch x tokens.
    """

    def padded(values: list[torch.Tensor], value: float) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=value)

    masks = [row.get(f"{name}_pooling_mask") or row[f"{name}_loss_mask"] for row in rows]
    return {
        "input_ids": padded([torch.tensor(row[f"{name}_input_ids"]) for row in rows], pad),
        "attention_mask": padded([torch.tensor(row[f"{name}_attention_mask"]) for row in rows], 0),
        "weights": padded(
            [
                torch.tensor(mask) * row[f"{name}_sample_weight"]
                for mask, row in zip(masks, rows, strict=True)
            ],
            0.0,
        ),
    }


def mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean over all tokens of a batch; 0 where every weight is 0."""
    return (values * weights).sum() / weights.sum().clamp_min(1e-8)


def states(model: Any, batch: dict[str, torch.Tensor], layers: list[int]) -> torch.Tensor:
    """Hidden states after some layers: layers x batch x tokens x width."""
    output = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        output_hidden_states=True,
    )
    return torch.stack([output.hidden_states[layer] for layer in layers])


def losses(
    model: Any, ds: dict[str, torch.Tensor], dr: dict[str, torch.Tensor], layers: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rerouting and the retain loss of a batch of pairs.

    Args:
        model: A PEFT model; its frozen self is the model with the adapter switched off.
        ds: The harmful side.
        dr: The benign side.
        layers: The layers whose output is looked at, from 1.
    """
    with torch.no_grad(), model.disable_adapter():
        frozen_ds, frozen_dr = states(model, ds, layers), states(model, dr, layers)
    similarity = torch.nn.functional.cosine_similarity(states(model, ds, layers), frozen_ds, dim=-1)
    distance = torch.linalg.vector_norm(states(model, dr, layers) - frozen_dr, dim=-1)
    return mean(similarity.relu().mean(0), ds["weights"]), mean(distance.mean(0), dr["weights"])


def batches(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Batches without end, in the order of the file."""
    endless = itertools.cycle(rows)
    while True:
        yield list(itertools.islice(endless, size))


def main() -> None:
    """Train and save the adapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", help="the export folder of a run")
    parser.add_argument("--model", required=True, help="a model folder or hub id")
    parser.add_argument("--out", required=True, help="where the adapter goes")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--layers", type=int, nargs="+", help="from 1; default: half and 2/3 way")
    parser.add_argument("--alpha", type=float, default=1.0, help="size of both losses")
    given = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    base = AutoModelForCausalLM.from_pretrained(given.model)
    depth = base.config.num_hidden_layers
    layers = given.layers or sorted({max(1, depth // 2), max(1, 2 * depth // 3)})
    model = get_peft_model(
        base, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    rows = list(load_dataset(given.export, "pairs", split="train"))
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=given.learning_rate,
    )
    for step, batch in zip(range(given.steps), batches(rows, given.batch_size), strict=False):
        reroute, retain = losses(model, side(batch, "ds", pad), side(batch, "dr", pad), layers)
        progress = step / given.steps
        loss = given.alpha * ((1 - progress / 2) * reroute + (progress / 2) * retain)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 5 == 0 or step == given.steps - 1:
            print(f"step {step}: reroute {reroute:.4f}, retain {retain:.4f}", flush=True)
    model.save_pretrained(given.out)


if __name__ == "__main__":
    main()
