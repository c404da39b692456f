"""A minimal representation-rerouting step on the exported pairs.

After circuit breakers (arXiv 2406.04313): on harmful rows the trained model's hidden states are
turned away from the frozen model's, ``relu(cos)``; on benign rows they are held where they are, an
L2 distance. Both act on tokens inside the loss masks.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rows import LEARNING_RATE, load_rows

LAYER = 1


def side(rows: list[dict[str, Any]], name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``input_ids``, ``attention_mask`` and ``loss_mask`` of one side of some pairs, padded on the
    right with 0.
    """

    def padded(column: str) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row[f"{name}_{column}"]) for row in rows], batch_first=True
        )

    return padded("input_ids"), padded("attention_mask"), padded("loss_mask")


def hidden(model: Any, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """Hidden states after LAYER, batch x tokens x width."""
    return model(input_ids=ids, attention_mask=attention, output_hidden_states=True).hidden_states[
        LAYER
    ]


def reroute_loss(states: torch.Tensor, frozen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of relu(cos) over masked tokens, weighted by the mask."""
    similarity = torch.nn.functional.cosine_similarity(states, frozen, dim=-1).relu()
    return (similarity * mask).sum() / mask.sum()


def retain_loss(states: torch.Tensor, frozen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean L2 distance over masked tokens, weighted by the mask."""
    distance = torch.linalg.vector_norm(states - frozen, dim=-1)
    return (distance * mask).sum() / mask.sum()


@pytest.fixture
def pairs(exported: Path) -> list[dict[str, Any]]:
    rows = load_rows(exported, "pairs/train.parquet")
    return [rows[index] for index in range(len(rows))]


@pytest.fixture
def models(model: Any) -> tuple[Any, Any]:
    """The trained model, moved a little so that no loss starts at a point without gradient, and the
    frozen one.
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.002)
    return model, frozen


def test_pairs_hold_a_harmful_and_a_benign_row_of_one_skeleton(pairs: list[dict[str, Any]]) -> None:
    assert len(pairs) == 12
    assert {(row["ds_category"], row["dr_category"]) for row in pairs} == {("harmful", "benign")}
    assert len({row["pair_id"] for row in pairs}) == 12


@pytest.mark.parametrize(("name", "loss"), [("ds", reroute_loss), ("dr", retain_loss)])
def test_gradients_touch_only_the_tokens_inside_the_mask(
    pairs: list[dict[str, Any]], models: tuple[Any, Any], name: str, loss: Any
) -> None:
    trained, frozen = models
    ids, attention, mask = side(pairs[:6], name)
    states = hidden(trained, ids, attention)
    states.retain_grad()
    loss(states, hidden(frozen, ids, attention), mask).backward()
    touched = states.grad.abs().sum(-1) > 0
    assert torch.equal(touched, mask > 0)
    assert 0 < int(touched.sum()) < int(attention.sum())


def test_a_few_steps_turn_harmful_states_and_hold_benign_ones(
    pairs: list[dict[str, Any]], models: tuple[Any, Any]
) -> None:
    trained, frozen = models
    optimizer = torch.optim.AdamW(trained.parameters(), lr=LEARNING_RATE / 10)
    ds, dr = side(pairs, "ds"), side(pairs, "dr")
    frozen_ds, frozen_dr = hidden(frozen, *ds[:2]), hidden(frozen, *dr[:2])
    history = []
    for _ in range(40):
        reroute = reroute_loss(hidden(trained, *ds[:2]), frozen_ds, ds[2])
        retain = retain_loss(hidden(trained, *dr[:2]), frozen_dr, dr[2])
        history.append((float(reroute), float(retain)))
        optimizer.zero_grad()
        (reroute + retain).backward()
        optimizer.step()
    assert history[0][0] > 0.9
    assert history[-1][0] < history[0][0] - 0.2
    norms = torch.linalg.vector_norm(frozen_dr, dim=-1)
    assert history[-1][1] < 0.5 * float((norms * dr[2]).sum() / dr[2].sum())
