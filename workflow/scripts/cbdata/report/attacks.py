"""Figures of attack success and of utility without an attack, by model, attack and suite.

They are about transcripts that somebody else's runs left. What the fill stage generates is chosen
by its outcome, so its yields are figures of their own (``cbdata.report.yields``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cbdata.report.chart import Bar, Figure, Table, percent, plain, share
from cbdata.report.published import PublishedRate, PublishedRates
from cbdata.report.roles import role_bar, role_legend, role_of
from cbdata.report.tally import Key, Tally

NO_ATTACK_NAME = "(not named)"
OUTCOMES = ("solved", "not solved")
MATRIX_SUITES = 6

UTILITY_FIELDS = {
    "agentdojo_export": "success",
    "agentdojo_run": "utility",
    "agentdojo_run_string_content": "utility",
}
"""Where the source's own fields say whether the user's task was solved, by ``raw_format``."""

Find = Callable[[Key], PublishedRate | None]


def solved(trace: Mapping[str, Any]) -> bool | None:
    """Whether a transcript solved the user's task, or None where its source does not say."""
    name = UTILITY_FIELDS.get(trace["signal_hints"].get("raw_format") or "")
    value = trace["raw_metadata"]["source_fields"].get(name) if name else None
    return value if isinstance(value, bool) else None


@dataclass
class AttackTally:
    """What transcripts did, with an attack and without one.

    - ``by_pipeline``: roles by data set, model, defence and attack
    - ``by_suite``: roles by data set, suite and attack
    - ``by_both``: roles by data set, model, defence and suite
    - ``solved_by_pipeline``, ``solved_by_suite``: OUTCOMES of runs without an attack
    """

    by_pipeline: Tally = field(default_factory=Tally)
    by_suite: Tally = field(default_factory=Tally)
    by_both: Tally = field(default_factory=Tally)
    solved_by_pipeline: Tally = field(default_factory=Tally)
    solved_by_suite: Tally = field(default_factory=Tally)

    def add(self, trace: Mapping[str, Any]) -> None:
        """Count a trace, if it is a transcript."""
        source, labels = trace["source"], trace["labels"]
        if trace["completeness"] == "skeleton" or trace["raw_metadata"].get("generation"):
            return
        dataset, suite = source["dataset"], trace["task"]["family"]
        pipeline = (dataset, source.get("model_id") or "(unknown)", source.get("defense") or "")
        if labels["attack_present"]:
            attack, role = labels.get("attack_type") or NO_ATTACK_NAME, role_of(trace)
            self.by_pipeline.add((*pipeline, attack), role)
            self.by_suite.add((dataset, suite, attack), role)
            self.by_both.add((*pipeline, suite), role)
        elif (done := solved(trace)) is not None:
            outcome = OUTCOMES[not done]
            self.solved_by_pipeline.add(pipeline, outcome)
            self.solved_by_suite.add((dataset, suite), outcome)

    def merge(self, other: AttackTally) -> None:
        """Take in the counts of another data set."""
        self.by_pipeline.merge(other.by_pipeline)
        self.by_suite.merge(other.by_suite)
        self.by_both.merge(other.by_both)
        self.solved_by_pipeline.merge(other.solved_by_pipeline)
        self.solved_by_suite.merge(other.solved_by_suite)


def pipeline_name(model: str, defense: str) -> str:
    """A model with its defence, as tables name them."""
    return f"{model} with {defense}" if defense else model


def attack_figures(tallies: Sequence[AttackTally], rates: PublishedRates) -> list[Figure]:
    """Show how often attacks were followed and how often tasks were solved without one.

    Args:
        tallies: The counts of every data set.
        rates: What was published of the same pipelines.

    Returns:
        The figures; those of which nothing is known are left out.
    """
    total = AttackTally()
    for tally in tallies:
        total.merge(tally)

    def attack_rate(key: Key) -> PublishedRate | None:
        return rates.attack_success(key[0], key[1], key[2] or None, key[3]) if key[1] else None

    def utility_rate(key: Key) -> PublishedRate | None:
        return rates.utility(key[0], key[1], key[2] or None) if key[1] else None

    figures = []
    if total.by_pipeline:
        figures += [
            _success("model", total.by_pipeline, attack_rate, lambda key: pipeline_name(*key[1:3])),
            _success("suite", total.by_suite, lambda key: None, lambda key: key[1]),
            *([_matrix(total.by_both)] if len({key[3] for key, _ in total.by_both}) > 1 else []),
        ]
    if total.solved_by_pipeline:
        figures += [
            _utility(
                "model", total.solved_by_pipeline, utility_rate, lambda key: pipeline_name(*key[1:])
            ),
            _utility("suite", total.solved_by_suite, lambda key: None, lambda key: key[1]),
        ]
    return figures


def _success(by: str, tally: Tally, find: Find, name: Callable[[Key], str]) -> Figure:
    """Attack success by model or suite, and by attack where there are several."""
    listed, several = tally.top(), _several(tally)
    attacks = sorted({key[-1] for key, _ in tally})
    single = len(attacks) == 1
    told = f"under the attack {attacks[0]}" if single else "with an attack"
    rates = [find(key) for key, _ in listed]
    known = any(rates)
    rows, drawn = [], []
    for (key, roles), rate in zip(listed, rates, strict=True):
        attacked, followed = roles.total(), roles["ds"]
        published = rate.attack_success if rate else None
        rows.append(
            (
                _row_name(key, several, name),
                *([] if single else [key[-1]]),
                f"{attacked:,}",
                f"{followed:,}",
                percent(followed, attacked),
                percent(followed, attacked - roles["unseen"]),
                *([_published(published)] if known else []),
            )
        )
        drawn.append(Bar(role_bar(roles, attacked).segments, _mark(published)))
    head = ("runs", "followed", "success", "of seen", *(["published"] if known else []))
    return Figure(
        f"attack-success-{by}",
        f"Attack success by {by}",
        f"Transcripts {told} that are in the data sets; copies and rejects are not.{_told(rates)}",
        Table(
            (by, *([] if single else ["attack"]), *head),
            rows,
            numeric_from=1 if single else 2,
            drawn=drawn,
            drawn_head="outcomes, % of runs",
            grouped=not single,
        ),
        role_legend(roles for _, roles in listed),
        "published success" if known else "",
    )


def _utility(by: str, tally: Tally, find: Find, name: Callable[[Key], str]) -> Figure:
    """Utility without an attack, by model or suite."""
    listed, several = tally.top(), _several(tally)
    rates = [find(key) for key, _ in listed]
    known = any(rates)
    rows, drawn = [], []
    for (key, outcomes), rate in zip(listed, rates, strict=True):
        runs, done = outcomes.total(), outcomes["solved"]
        published = rate.utility if rate else None
        rows.append(
            (
                _row_name(key, several, name),
                f"{runs:,}",
                f"{done:,}",
                percent(done, runs),
                *([_published(published)] if known else []),
            )
        )
        drawn.append(Bar(plain("retain", done, runs).segments, _mark(published)))
    return Figure(
        f"utility-{by}",
        f"Utility without an attack by {by}",
        "Transcripts without an attack whose source says whether the user's task was solved."
        f"{_told(rates)}",
        Table(
            (by, "runs", "solved", "utility", *(["published"] if known else [])),
            rows,
            drawn=drawn,
            drawn_head="solved, % of runs",
        ),
        [("retain", "solved, no attack (retain)")],
        "published utility" if known else "",
    )


def _matrix(tally: Tally) -> Figure:
    """Attack success of every model in every suite."""
    models, suites = Tally(), Tally()
    for key, roles in tally:
        models.add(key[:3], count=roles.total())
        suites.add((key[3],), count=roles.total())
    names = [key[0] for key, _ in suites.top(MATRIX_SUITES) if (key[0],) in suites.counts]
    several = _several(tally)
    shown = [key for key, _ in models.top() if key in models.counts]
    empty: Counter[str] = Counter()

    def cell(roles: Counter[str]) -> str:
        followed, runs = roles["ds"], roles.total()
        return f"{percent(followed, runs)} ({followed:,}/{runs:,})" if runs else "-"

    hidden = [
        f"{count:,} more {what}"
        for what, count in (
            ("models", len(models.counts) - len(shown)),
            ("suites", len(suites.counts) - len(names)),
        )
        if count
    ]
    return Figure(
        "attack-success-matrix",
        "Attack success by model and suite",
        "Runs in which the attack was followed, of those with an attack."
        f"{' Not shown: ' + ', '.join(hidden) + '.' if hidden else ''}",
        Table(
            ("model", *names),
            [
                (
                    _row_name(key, several, lambda key: pipeline_name(*key[1:])),
                    *(cell(tally.counts.get((*key, suite), empty)) for suite in names),
                )
                for key in shown
            ],
        ),
    )


def _several(tally: Tally) -> bool:
    """Whether the counts are those of several data sets."""
    return len({key[0] for key, _ in tally}) > 1


def _row_name(key: Key, several: bool, name: Callable[[Key], str]) -> str:
    """The first cell of a row: with the data set where there are several, and that of the row of
    all others as it is.
    """
    if not key[1]:
        return key[0]
    return f"{key[0]}: {name(key)}" if several else name(key)


def _published(value: float | None) -> str:
    return "-" if value is None else f"{value:g}%"


def _mark(value: float | None) -> float | None:
    return None if value is None else share(value, 100)


def _told(rates: Sequence[PublishedRate | None]) -> str:
    """A sentence for each source of published rates."""
    sources = dict.fromkeys(rate.source for rate in rates if rate)
    return "".join(f" Published: {source}." for source in sources)
