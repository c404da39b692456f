"""Rates that others published of the same pipelines, to hold the data of a run against.

Each file of ``configs/published_rates`` is one table of one benchmark, with its source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson


class PublishedRatesError(ValueError):
    """A file of published rates that cannot be read: names the file and what was expected."""


@dataclass(frozen=True)
class PublishedRate:
    """Published rates of one pipeline in per cent, each None where it is not known.

    ``utility`` is the share of user tasks that are solved without an attack, ``attack_success`` the
    share of attacks that are followed. ``source`` says who published them, of how many cases.
    """

    utility: float | None
    attack_success: float | None
    source: str


Pipeline = tuple[str, str, str | None]
"""Data set, model and defence as ``source`` of trace_v1 has them."""


class PublishedRates:
    """The published rates that are known, found by data set, model, defence and attack."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        """Read files of published rates.

        Args:
            paths: JSON files of ``configs/published_rates`` or of the same form.

        Raises:
            PublishedRatesError: A file has another form.
        """
        self._rates: dict[Pipeline, tuple[str, PublishedRate]] = {}
        for path in paths:
            try:
                table = orjson.loads(path.read_bytes())
                dataset, attack, source = table["dataset"], table["attack_type"], table["source"]
                for row in table["pipelines"]:
                    rate = PublishedRate(row.get("utility"), row.get("attack_success"), source)
                    self._rates[dataset, row["model_id"], row["defense"]] = (attack, rate)
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise PublishedRatesError(
                    f"{path}: expected dataset, attack_type, source and pipelines with model_id and"
                    f" defense, got {type(error).__name__}: {error}. Hint: README.md beside it has"
                    " the form"
                ) from error

    def utility(self, dataset: str, model: str, defense: str | None) -> PublishedRate | None:
        """The rates of a pipeline of which the utility is known."""
        found = self._rates.get((dataset, model, defense))
        return found[1] if found and found[1].utility is not None else None

    def attack_success(
        self, dataset: str, model: str, defense: str | None, attack: str
    ) -> PublishedRate | None:
        """The rates of a pipeline of which the success of an attack is known.

        Args:
            dataset: The benchmark.
            model: The model that ran.
            defense: The defence around it, or None.
            attack: The attack; the success of another is none of this one.
        """
        found = self._rates.get((dataset, model, defense))
        known = found is not None and found[0] == attack and found[1].attack_success is not None
        return found[1] if found and known else None
