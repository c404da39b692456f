"""Tokens and weights by mixture class, counted by hand."""

from __future__ import annotations

from typing import Any

from cbdata.report.classes import ClassTally, class_tokens, class_weights, merged
from tests.unit.report.stats_rows import stats


def mask(class_id: str, tokens: int, trained: int, weight: float = 1.0) -> dict[str, Any]:
    return {
        "class_id": class_id,
        "class_weight": weight,
        "zero_weight": weight == 0,
        "stats": {"total_tokens": tokens, "unmasked_tokens": trained},
    }


def tally() -> ClassTally:
    counted = ClassTally()
    for class_id, role in (("d/ds", "ds"), ("d/ds", "ds"), ("d/dr", "dr")):
        counted.add_trace(class_id, role)
    for row in (mask("d/ds", 100, 10, 2.0), mask("d/ds", 100, 30, 2.0), mask("d/dr", 50, 10, 0)):
        counted.add_mask(row)
    return counted


def test_tokens_by_class() -> None:
    figure = class_tokens(merged([tally(), ClassTally()]))
    assert figure is not None
    assert figure.table.rows == [
        ("d/dr", "1", "50", "10", "20.0%", "20.0%"),
        ("d/ds", "2", "200", "40", "20.0%", "80.0%"),
    ]
    assert [[(part.colour, part.share) for part in bar.segments] for bar in figure.table.drawn] == [
        [("dr", 0.05), ("rest", 0.2)],
        [("ds", 0.2), ("rest", 0.8)],
    ]
    assert "1 rows have the weight 0" in figure.note
    assert [colour for colour, _ in figure.legend] == ["ds", "dr", "rest"]
    assert class_tokens(ClassTally()) is None


def test_weights_before_and_after_the_class_weights() -> None:
    classes = {
        "d/ds": {"rows": 2, "weight_before": 2.0, "weight_after": 4.0},
        "d/dr": {"rows": 1, "weight_before": 2.0, "weight_after": 0.0},
    }
    figure = class_weights([stats("lossmask", "d", 3, 3, classes=classes)], tally())
    assert figure is not None and figure.table.rows == [
        ("d/dr", "unweighted", "1", "0", "50.0%"),
        ("d/dr", "weighted", "1", "0", "0.0%"),
        ("d/ds", "unweighted", "2", "2", "50.0%"),
        ("d/ds", "weighted", "2", "2", "100.0%"),
    ]
    assert class_weights([stats("render", "d", 3, 3)], tally()) is None


def test_without_class_weights_a_class_has_one_row() -> None:
    classes = {"d/ds": {"rows": 2, "weight_before": 2.0, "weight_after": 2.0}}
    figure = class_weights([stats("lossmask", "d", 2, 2, classes=classes)], tally())
    assert figure is not None and figure.table.rows == [("d/ds", "2", "2", "100.0%")]
