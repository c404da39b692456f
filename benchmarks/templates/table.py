"""The results as lines and as a Markdown table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trial import FORMS, Outcome, Trial

HEADER = (
    "| template | tokenizer | transformers prints all | yield of those | with reasoning |"
    " without calls | wrong rows | differences | rejects |"
)


def summary(trial: Trial) -> str:
    """One line for the terminal."""
    if trial.unusable:
        return f"{trial.name}: unusable: {trial.unusable[:120]}"
    cells = _cells(trial)
    return f"{trial.name} ({cells[1]}): " + "; ".join(
        f"{title} {cell}"
        for title, cell in zip(
            (
                "printed",
                "yield",
                "with reasoning",
                "without calls",
                "wrong",
                "differences",
                "rejects",
            ),
            cells[2:],
            strict=True,
        )
        if cell
    )


def markdown(trials: Sequence[Trial]) -> str:
    """A row for each template, and a line with the sums."""
    lines = [HEADER, "|---" * 9 + "|"]
    for trial in trials:
        if trial.unusable:
            first = trial.unusable.split(": ", 1)[-1][:90].replace("|", "\\|").replace("\n", " ")
            cells = [trial.name, trial.tokenizer, "", "", "", "", "", "", f"unusable: {first}"]
        else:
            cells = _cells(trial)
        lines.append("| " + " | ".join(cells) + " |")
    outcomes = [outcome for trial in trials for outcome in trial.outcomes]
    rows = [outcome for outcome in outcomes if not outcome.reject]
    wrong = sum(bool(outcome.differences) for outcome in rows)
    good = sum(_reaches(trial) for trial in trials)
    printing = sum(any(o.printed is True for o in trial.outcomes) for trial in trials)
    lines += [
        "",
        f"{len(trials)} templates, {len(outcomes)} conversations, {len(rows)} rows, {wrong} of them"
        f" wrong. Of {printing} templates with which transformers prints everything of some"
        f" transcript, {good} yield at least 99% of those.",
    ]
    return "\n".join(lines) + "\n"


def _reaches(trial: Trial) -> bool:
    printed = _printed(trial, FORMS)
    return bool(printed) and sum(not each.reject for each in printed) >= 0.99 * len(printed)


def _printed(trial: Trial, forms: Sequence[str]) -> list[Outcome]:
    return [each for each in trial.outcomes if each.form in forms and each.printed is True]


def _cells(trial: Trial) -> list[str]:
    first = [each for each in trial.outcomes if each.form == FORMS[0]]
    printed = _printed(trial, FORMS[:1])
    rows = [each for each in trial.outcomes if not each.reject]
    wrong = [each for each in rows if each.differences]
    kinds = Counter(kind for each in wrong for kind in {kind for kind, _ in each.differences})
    reasons = Counter(each.reject[0] for each in trial.outcomes if each.reject)
    return [
        trial.name,
        trial.tokenizer + (f" + {trial.appended}" if trial.appended else ""),
        f"{len(printed)} of {len(first)}",
        *[_share(_printed(trial, forms)) for forms in (FORMS[:2], FORMS[2:3], FORMS[3:])],
        f"{len(wrong)} of {len(rows)}" if wrong else "0",
        _counted(kinds),
        _counted(reasons),
    ]


def _share(printed: Sequence[Outcome]) -> str:
    kept = sum(not each.reject for each in printed)
    return f"{100 * kept / len(printed):.0f}%" if printed else ""


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
