"""What a fill job says in its log while completions come in."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cbdata.fill.prefix_cache import describe_cache
from cbdata.progress import ON_CONSOLE, time_left

if TYPE_CHECKING:
    from cbdata.fill.runner import Attempted, Throughput

logger = logging.getLogger(__name__)

EVERY_S = 10.0
"""Seconds between two lines."""


class Report:
    """Log lines while completions come in: done and left, tokens per second, acceptance so far,
    what of the prompts the engine had in its prefix cache, and the time left if the rest goes as
    fast.
    """

    def __init__(
        self, work: Iterable[Attempted[Any]], throughput: Sequence[Throughput], engine: str
    ) -> None:
        """Watch the work of a job.

        Args:
            work: Its items, which change as they are completed.
            throughput: What was done for each set so far.
            engine: The engine's name.
        """
        self._work, self._throughput, self._engine = list(work), throughput, engine
        self._start = self._last = time.monotonic()
        self._settled_before = self._settled()

    def _settled(self) -> int:
        """Items that need no further try, or have had one."""
        return sum(
            each.accepted or each.refusal is not None or bool(each.tries) for each in self._work
        )

    def log(self, waiting: int, last: bool = False) -> None:
        """Write a line if the last one is some time ago, or if it is to be the ``last`` one.

        Args:
            waiting: Requests that were not sent yet.
            last: Whether the job is done.
        """
        now = time.monotonic()
        if not last and now - self._last < EVERY_S:
            return
        self._last = now
        total: Counter[str] = Counter()
        accepted: Counter[str] = Counter()
        for attempted in self._work:
            total[attempted.item.mode] += 1
            accepted[attempted.item.mode] += attempted.accepted
        settled, all_items = self._settled(), len(self._work)
        to_do = all_items - self._settled_before
        share = (settled - self._settled_before) / to_do if to_do else 1.0
        left = "" if last else time_left(share, now - self._start)
        parts = self._throughput
        seconds = max(sum(part.seconds for part in parts), 1e-9)
        acceptance = ", ".join(
            f"{mode} {accepted[mode]} of {total[mode]}" for mode in sorted(total)
        )
        cached = [p.cached_prompt_tokens for p in parts if p.cached_prompt_tokens is not None]
        logger.info(
            "%d of %d items have a completion (%.0f%%%s), %d requests not yet sent;"
            " %.1f completions/s, %.0f completion tokens/s; prefix cache: %s; accepted: %s",
            settled,
            all_items,
            100 * settled / max(all_items, 1),
            left and f", {left}",
            waiting,
            sum(part.generated for part in parts) / seconds,
            sum(part.completion_tokens for part in parts) / seconds,
            describe_cache(
                sum(cached) if cached else None,
                sum(part.prompt_tokens for part in parts),
                self._engine,
            ),
            acceptance,
            extra=ON_CONSOLE,
        )
