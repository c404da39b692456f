"""Weights made real by repetition and dropping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.export.resample import ResampleCounts, resample
from cbdata.export.rows import TrainingRow


def row(weight: float = 1.0, mask: list[float] | None = None, name: str = "t") -> TrainingRow:
    loss = np.array([0.0, 1.0, 1.0] if mask is None else mask, np.float32)
    ids = np.arange(10, 10 + len(loss), dtype=np.int32)
    return TrainingRow(
        input_ids=ids,
        attention_mask=np.ones(len(loss), np.int8),
        labels=np.where(loss > 0, ids, np.int32(-100)),
        loss_mask=loss,
        sample_weight=weight,
        category="benign",
        class_id="c",
        policy_id="p",
        trace_id=name,
        pair_id=None,
        prompt_length=1,
        split="train",
    )


@pytest.mark.parametrize(("weight", "copies"), [(0.0, 0), (1.0, 1), (3.0, 3)])
def test_whole_weights_are_numbers_of_copies(weight: float, copies: int) -> None:
    counts = ResampleCounts()
    made = list(resample(row(weight), counts))
    assert len(made) == copies
    for copy in made:
        assert copy.sample_weight == 1.0
        assert copy.labels.tolist() == [-100, 11, 12]
        assert copy.loss_mask.tolist() == [0.0, 1.0, 1.0]
    assert counts == ResampleCounts(1, int(not copies), 0, max(copies - 1, 0))


def test_fractions_hold_on_average_and_do_not_depend_on_the_run() -> None:
    counts = ResampleCounts()
    rows = [row(2.3, name=str(number)) for number in range(2000)]
    made = [len(list(resample(one, counts))) for one in rows]
    assert set(made) == {2, 3}
    # Four standard deviations of 2,000 draws of 0.3 are 82.
    assert abs(made.count(3) - 600) < 82
    assert [len(list(resample(one, ResampleCounts()))) for one in rows] == made


def test_tokens_of_a_fractional_weight_keep_their_label_in_that_share_of_the_cases() -> None:
    (made,) = resample(row(mask=[0.0] + [0.25] * 8000 + [1.0]), ResampleCounts())
    kept = made.loss_mask > 0
    assert not kept[0] and kept[-1]
    assert abs(int(kept[1:-1].sum()) - 2000) < 155  # four standard deviations
    assert ((made.labels != -100) == kept).all()
    assert (made.labels[kept] == made.input_ids[kept]).all()
    assert made.assistant_masks.tolist() == kept.astype(int).tolist()


def test_copies_of_one_row_draw_their_tokens_apart() -> None:
    first, second = resample(row(2.0, [0.5] * 64), ResampleCounts())
    assert first.loss_mask.tolist() != second.loss_mask.tolist()


def test_a_row_that_loses_all_its_labels_is_left_out_and_counted() -> None:
    counts = ResampleCounts()
    made = [list(resample(row(mask=[0.001], name=str(number)), counts)) for number in range(100)]
    left = sum(map(len, made))
    assert left < 5
    assert (counts.rows_in, counts.without_loss, counts.dropped) == (100, 100 - left, 0)


@given(st.floats(0, 5), st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=9))
def test_every_row_is_accounted_for(weight: float, mask: list[float]) -> None:
    counts = ResampleCounts()
    made = list(resample(replace(row(weight, mask), trace_id=f"{weight} {mask}"), counts))
    assert int(weight) <= len(made) + counts.without_loss <= int(weight) + 1
    assert counts.dropped == (not made and not counts.without_loss)
    for copy in made:
        assert set(copy.loss_mask.tolist()) <= {0.0, 1.0} and copy.loss_mask.any()
        assert all(
            copy.loss_mask[index] == weight
            for index, weight in enumerate(mask)
            if weight in (0.0, 1.0)
        )
