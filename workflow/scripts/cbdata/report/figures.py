"""Figures of token lengths, of what each policy trains, and of what the data were made with."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from cbdata.report.chart import Bar, Colour, Figure, Table, percent, plain
from cbdata.report.collect import MAIN_MASKS, DataSetSummary
from cbdata.report.roles import common_role, group_legend

QUANTILES = (("half of them", 0.5), ("90%", 0.9), ("99%", 0.99))
SHORTEST_BIN = 64


def length_bins(longest: int, limit: int) -> list[int]:
    """The upper ends of bins of token lengths, each end in its bin: 64, then two per doubling,
    until one is not below ``longest``.

    Args:
        longest: The longest length.
        limit: Becomes an end as well where it is below ``longest``, so that no bin holds lengths
            on both sides of it.
    """
    ends = [SHORTEST_BIN]
    while ends[-1] < longest:
        ends.append(round(SHORTEST_BIN * 2 ** (len(ends) / 2)))
    return sorted({*ends, limit}) if limit < longest else ends


def lengths(summary: DataSetSummary) -> Figure | None:
    """Show token lengths before the cut, and where the cut is; None without any render."""
    if not summary.lengths:
        return None
    found, limit = sorted(summary.lengths.items()), max(summary.max_lengths)
    total, longest = summary.lengths.total(), found[-1][0]
    whole = sum(length * count for length, count in found)
    ends = length_bins(longest, limit)
    counts = [0] * len(ends)
    for length, count in found:
        counts[bisect_left(ends, length)] += count
    longer = sum(count for length, count in found if length > limit)
    beyond = sum((length - limit) * count for length, count in found if length > limit)
    quantiles = ", ".join(
        f"{name} at most {_quantile(found, part * total):,}" for name, part in QUANTILES
    )
    rows, drawn = [], []
    first = next(index for index, count in enumerate(counts) if count)
    bins = list(zip([-1, *ends[:-1]], ends, counts, strict=True))
    for start, end, count in bins[first:]:
        colour: Colour = "neutral" if end <= limit else "cut"
        rows.append((f"{start + 1:,} to {end:,}", f"{count:,}", percent(count, total)))
        drawn.append(plain(colour, count, max(counts)))
    return Figure(
        f"lengths-{summary.name}",
        f"Token lengths of {summary.name}",
        f"Tokens of each render before the cut at max_length {limit:,}: {quantiles}, the longest"
        f" {longest:,}. {longer:,} of {total:,} are longer than max_length,"
        f" {summary.truncated:,} are cut, and {beyond:,} of {whole:,} tokens"
        f" ({percent(beyond, whole)}) lie beyond it. Two bins are one doubling.",
        Table(("tokens", "renders", "share"), rows, drawn=drawn, drawn_head="renders"),
        [("neutral", "within max_length"), ("cut", "longer")] if longer else (),
    )


def _quantile(found: Sequence[tuple[int, int]], least: float) -> int:
    """The smallest length that ``least`` renders do not exceed.

    Args:
        found: Lengths with their counts, the shortest first.
        least: How many renders; at most all of them.
    """
    seen = accumulate(count for _, count in found)
    return next(length for (length, _), so_far in zip(found, seen, strict=True) if so_far >= least)


def on_policy(summaries: Sequence[DataSetSummary]) -> Figure:
    """Show how many renders hold the very ids that the model wrote."""
    shown = [(part, part.lengths.total()) for part in summaries if part.lengths]
    return Figure(
        "on-policy",
        "Renders on policy",
        "A render is on policy where its last turn is the token ids that the model itself wrote"
        " behind this very prompt. The others were printed by the chat template: transcripts of"
        " other models, and everything under completion_tokens: template.",
        Table(
            ("data set", "renders", "on policy", "share"),
            [
                (part.name, f"{total:,}", f"{part.on_policy:,}", percent(part.on_policy, total))
                for part, total in shown
            ],
            drawn=[plain("neutral", part.on_policy, total) for part, total in shown],
            drawn_head="% on policy",
        ),
    )


def shares(summaries: Sequence[DataSetSummary]) -> Figure:
    """Show the share of tokens with loss in all tokens, per mask file and per policy."""
    rows: list[Sequence[str]] = []
    drawn: list[Bar] = []
    for label in dict.fromkeys(label for part in summaries for label in part.shares):
        name = _share_name(label, *summaries)
        for part in summaries:
            found = part.shares.get(label)
            if found is None:
                continue
            rows.append(
                (
                    name,
                    part.name,
                    f"{found.rows:,}",
                    f"{found.trained:,}",
                    f"{found.tokens:,}",
                    percent(found.trained, found.tokens),
                )
            )
            drawn.append(plain(common_role(part.roles), found.trained, found.tokens))
    return Figure(
        "shares",
        "Trained-token share per policy",
        "Files as they are on disk first, then each policy of the registry on the same renders."
        " Rows without any loss do not count.",
        Table(
            ("masks or policy", "data set", "rows", "with loss", "tokens", "share"),
            rows,
            numeric_from=2,
            drawn=drawn,
            drawn_head="with loss, % of all tokens",
            grouped=True,
        ),
        group_legend(part.roles for part in summaries),
    )


def _share_name(label: str, *summaries: DataSetSummary) -> str:
    if label != MAIN_MASKS:
        return label.removeprefix("policy ")
    policies = {policy for part in summaries for policy in part.file_policies.get(label, ())}
    return f"lossmasks ({', '.join(sorted(policies))})"


def provenance(summaries: Sequence[DataSetSummary]) -> Figure:
    """List models, tokenizers, templates and tool schemas by name and hash."""
    total: Counter[tuple[str, str, str]] = Counter()
    for part in summaries:
        total.update(part.provenance)
    rows = [(*key, f"{count:,}") for key, count in sorted(total.items())]
    note = (
        "Traces that carry each; more than one tokenizer or template in a run means that its files"
        " are of different makes."
    )
    return Figure(
        "provenance",
        "Model, template and tool schema",
        note,
        Table(("what", "name", "revision or SHA-256", "records"), rows, numeric_from=3),
    )
