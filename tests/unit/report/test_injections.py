"""Length and place of injections, on renders written by hand."""

from __future__ import annotations

from typing import Any

from cbdata.report.injections import InjectionTally, injection_figures


def render(length: int, *spans: tuple[int, int, int]) -> dict[str, Any]:
    """A render of a user and a tool turn, of which the second begins at token 50."""
    return {
        "sequence_length": length,
        "signals": {
            "injection_spans": [
                {"message_index": message, "token_start": start, "token_end": end}
                for message, start, end in spans
            ]
        },
        "alignment": {
            "message_spans": [
                {"message_index": 0, "role": "user"},
                {"message_index": 1, "role": "tool"},
            ]
        },
    }


def figures(*tallies: InjectionTally) -> dict[str, Any]:
    return {figure.key: figure for figure in injection_figures(tallies)}


def test_lengths_places_and_turns() -> None:
    first, second = InjectionTally(), InjectionTally()
    first.add(render(100, (0, 5, 13), (1, 60, 69)), "ds", exposed=True)
    second.add(render(100, (1, 99, 100)), "dr", exposed=True)
    found = figures(first, second)
    assert found["injection-lengths"].table.rows == [
        ("1 to 8", "2", "66.7%"),
        ("9 to 16", "1", "33.3%"),
    ]
    assert found["injection-lengths"].note.startswith("3 places in 2 renders, 18 tokens in all")
    positions = {row[0]: row[1] for row in found["injection-positions"].table.rows}
    assert len(positions) == 10
    assert {name: count for name, count in positions.items() if count != "0"} == {
        "0 to 10%": "1",
        "90 to 100%": "1",
    }
    assert found["injection-turns"].table.rows == [("tool", "2", "66.7%"), ("user", "1", "33.3%")]
    bar = found["injection-turns"].table.drawn[0]
    assert [(part.colour, part.share) for part in bar.segments] == [("ds", 0.5), ("dr", 0.5)]


def test_injections_that_the_cut_took_are_told() -> None:
    tally = InjectionTally()
    tally.add(render(100, (1, 60, 6_000)), "ds", exposed=True)
    tally.add(render(100), "ds", exposed=True)
    tally.add(render(100), "retain", exposed=False)
    tally.add(render(100), "dr", exposed=False)
    found = figures(tally)["injection-lengths"]
    assert found.table.rows == [("over 4,096", "1", "100.0%")]
    assert "Renders without the injection that the model read: 1;" in found.note


def test_no_injection_no_figure() -> None:
    tally = InjectionTally()
    tally.add(render(100), "retain", exposed=False)
    assert injection_figures([tally]) == []
