"""Progress of long work as log lines: how much is done, the rate, what is left. No progress bars in
batch logs.
"""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)


class Progress:
    """Log a line every few seconds while work is done, and one at the end."""

    def __init__(self, what: str, total: int | None = None, every_s: float = 10.0) -> None:
        """Start the clock.

        Args:
            what: What the lines are about.
            total: How much there is to do; None where that is not known without reading the input.
                Then no time left is given.
            every_s: The least time between two lines, in seconds.
        """
        self.what, self.total, self.every_s = what, total, every_s
        self.done = 0
        self._start = self._last = time.monotonic()

    def add(self, count: int = 1, extra: str = "") -> None:
        """Count work done; ``extra`` is appended to the line if one is logged now."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.every_s:
            self._last = now
            self._log(now, extra)

    def finish(self, extra: str = "") -> None:
        """Log the closing line."""
        self._log(time.monotonic(), extra)

    def _log(self, now: float, extra: str) -> None:
        rate = self.done / max(now - self._start, 1e-9)
        left = ""
        if self.total is not None:
            remaining = max(self.total - self.done, 0)
            left = (
                f" of {self.total}, about {remaining / rate:.0f} s left"
                if rate > 0
                else f" of {self.total}"
            )
        logger.info(
            "%s: %d%s, %.1f/s%s", self.what, self.done, left, rate, f", {extra}" if extra else ""
        )
