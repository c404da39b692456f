"""Attack success and utility of transcripts, counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cbdata.report.attacks import AttackTally, attack_figures, solved
from cbdata.report.published import PublishedRates
from tests.records import make_trace, message


def transcript(
    outcome: str,
    *,
    model: str = "m",
    defense: str | None = None,
    suite: str = "banking",
    attack: str = "important_instructions",
    dataset: str = "agentdojo",
    success: Any = True,
) -> dict[str, Any]:
    trace = make_trace(
        [message("user", "x"), message("assistant", "y")],
        dataset=dataset,
        category="harmful" if outcome == "ds" else "benign",
    )
    trace["source"] |= {"model_id": model, "defense": defense}
    trace["task"]["family"] = suite
    trace["labels"] |= {
        "attack_present": outcome != "retain",
        "exposed": outcome in ("ds", "dr"),
        "attack_type": attack if outcome != "retain" else None,
    }
    trace["signal_hints"]["raw_format"] = "agentdojo_export"
    trace["raw_metadata"]["source_fields"] = {"success": success}
    return trace


def tally(*traces: dict[str, Any]) -> AttackTally:
    counted = AttackTally()
    for trace in traces:
        counted.add(trace)
    return counted


def by_key(tallies: list[AttackTally], rates: PublishedRates | None = None) -> dict[str, Any]:
    return {figure.key: figure for figure in attack_figures(tallies, rates or PublishedRates())}


def test_success_counts_the_attacks_and_those_that_the_model_saw() -> None:
    runs = ["ds", "dr", "dr", "unseen", "retain"]
    figures = by_key([tally(*map(transcript, runs)), tally(transcript("ds", suite="travel"))])
    model = figures["attack-success-model"]
    assert model.table.head == ("model", "runs", "followed", "success", "of seen")
    assert model.table.rows == [("m", "5", "2", "40.0%", "50.0%")]
    assert "under the attack important_instructions" in model.note
    segments = [(part.colour, part.share) for part in model.table.drawn[0].segments]
    assert segments == [("ds", 0.4), ("dr", 0.4), ("unseen", 0.2)]
    assert figures["attack-success-suite"].table.rows == [
        ("banking", "4", "1", "25.0%", "33.3%"),
        ("travel", "1", "1", "100.0%", "100.0%"),
    ]


def test_every_model_in_every_suite() -> None:
    found = tally(
        *(transcript(outcome) for outcome in ("ds", "dr", "dr", "unseen")),
        transcript("ds", suite="travel"),
        transcript("dr", model="n", suite="travel"),
    )
    matrix = by_key([found])["attack-success-matrix"].table
    assert matrix.head == ("model", "banking", "travel")
    assert matrix.rows == [("m", "25.0% (1/4)", "100.0% (1/1)"), ("n", "-", "0.0% (0/1)")]
    suites = [transcript("ds", suite=f"suite {number}") for number in range(9)]
    wide = by_key([tally(*suites)])["attack-success-matrix"]
    assert len(wide.table.head) == 7 and wide.note.endswith("Not shown: 3 more suites.")
    assert "attack-success-matrix" not in by_key([tally(transcript("ds"))])


def test_several_attacks_and_data_sets_are_told_apart() -> None:
    figures = by_key(
        [
            tally(
                transcript("ds"),
                transcript("dr", attack="direct"),
                transcript("dr", dataset="agentdyn", defense="tool_filter"),
            )
        ]
    )
    table = figures["attack-success-model"].table
    assert table.head[:2] == ("model", "attack")
    assert [row[:4] for row in table.rows] == [
        ("agentdojo: m", "direct", "1", "0"),
        ("agentdojo: m", "important_instructions", "1", "1"),
        ("agentdyn: m with tool_filter", "important_instructions", "1", "0"),
    ]


def test_published_rates_stand_beside_those_of_the_same_pipeline(repo: Path) -> None:
    rates = PublishedRates([repo / "configs/published_rates/agentdojo.json"])
    known, other = "gpt-4-0125-preview", "m"
    figures = by_key(
        [
            tally(
                *(transcript("ds", model=model) for model in (known, other)),
                *(transcript("retain", model=model) for model in (known, other)),
                transcript("retain", model=known, success=False),
            )
        ],
        rates,
    )
    success, utility = figures["attack-success-model"], figures["utility-model"]
    assert [(row[0], row[-1]) for row in success.table.rows] == [(known, "56.28%"), (other, "-")]
    assert [bar.mark for bar in success.table.drawn] == [0.5628, None]
    assert utility.table.rows == [
        (known, "2", "1", "50.0%", "65.98%"),
        (other, "1", "1", "100.0%", "-"),
    ]
    assert [bar.mark for bar in utility.table.drawn] == [0.6598, None]
    assert "629 cases" in success.note and success.mark == "published success"
    assert figures["attack-success-suite"].mark == ""


def test_only_transcripts_count() -> None:
    completed = transcript("ds")
    completed["raw_metadata"]["generation"] = {"attempt": 1}
    skeleton = transcript("dr") | {"completeness": "skeleton"}
    assert attack_figures([tally(completed, skeleton)], PublishedRates()) == []


def test_solved_is_what_the_source_says_of_the_users_task() -> None:
    assert solved(transcript("retain", success=False)) is False
    assert solved(transcript("retain", success=None)) is None
    run = transcript("retain")
    run["signal_hints"]["raw_format"] = "agentdojo_run"
    assert solved(run) is None
    run["raw_metadata"]["source_fields"]["utility"] = True
    assert solved(run) is True
    # ``success`` of other sources is that of the attack.
    run["signal_hints"]["raw_format"] = "tool_call_json"
    assert solved(run) is None


def test_a_thousand_models_are_thirty_and_the_others() -> None:
    counted = tally(*(transcript("dr", model=f"model {number:04}") for number in range(1_000)))
    table = by_key([counted])["attack-success-model"].table
    assert len(table.rows) == 31
    assert table.rows[-1] == ("other (970)", "970", "0", "0.0%", "0.0%")
