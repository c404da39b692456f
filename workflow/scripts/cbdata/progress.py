"""Progress of long work as log lines: how much is done, the rate, what is left. No progress bars in
batch logs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cbdata.counted_file import ShareRead

logger = logging.getLogger(__name__)

EVERY_S = 10.0
"""The least time between two lines, in seconds."""

ON_CONSOLE = {"on_console": True}
"""``extra`` of a log record that people see where they watch a run (``cbdata.logs``)."""


class Progress:
    """Log a line every few seconds while work is done, and one at the end."""

    def __init__(
        self,
        what: str,
        total: int | None = None,
        every_s: float = EVERY_S,
        files: Sequence[str | Path] = (),
    ) -> None:
        """Start the clock.

        Args:
            what: What the lines are about.
            total: How much there is to do; None where that is not known without reading the input.
            every_s: The least time between two lines, in seconds.
            files: The input, where no total is known: the share of its bytes that has been read
                stands for the share of the work.
        """
        self.what, self.total, self.every_s = what, total, every_s
        self.done = 0
        self._share = ShareRead(files)
        self._start = self._last = time.monotonic()

    def add(self, count: int = 1, extra: str = "") -> None:
        """Count work done; ``extra`` is appended to the line if one is logged now."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.every_s:
            self._last = now
            self._log(now, extra)

    def finish(self, extra: str = "") -> None:
        """Log the closing line. People who watch the run see it only where they saw others."""
        now = time.monotonic()
        rate = self.done / max(now - self._start, 1e-9)
        total = "" if self.total is None else f" of {self.total:,}"
        logger.info(
            "%s: %s%s done in %s, %.1f/s%s",
            self.what,
            f"{self.done:,}",
            total,
            duration(now - self._start),
            rate,
            f", {extra}" if extra else "",
            extra=ON_CONSOLE if now - self._start >= self.every_s else None,
        )

    def _log(self, now: float, extra: str) -> None:
        spent = now - self._start
        share = self._share() if self.total is None else self.done / max(self.total, 1)
        parts = [f"{self.done / max(spent, 1e-9):.1f}/s", time_left(share, spent), extra]
        total = "" if self.total is None else f" of {self.total:,}"
        percent = "" if share is None else f" ({100 * min(share, 1):.0f}%)"
        logger.info(
            "%s: %s%s%s, %s",
            self.what,
            f"{self.done:,}",
            total,
            percent,
            ", ".join(filter(None, parts)),
            extra=None if share is None else ON_CONSOLE,
        )


def time_left(share: float | None, spent: float) -> str:
    """About how long the rest of some work takes, as text.

    Args:
        share: The share that is done, 0 to 1; None where nobody knows.
        spent: Seconds that it took.

    Returns:
        ``about 3 min left``; empty where nothing can be said.
    """
    if share is None or share <= 0:
        return ""
    return f"about {duration(spent * (1 - min(share, 1)) / share)} left"


def duration(seconds: float) -> str:
    """A time span for people: 45 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def watched(what: str, files: Sequence[str | Path], every_s: float = EVERY_S) -> Iterator[None]:
    """Log a line every few seconds, until the end of the block, with the share of some files that
    has been read: for work that is not counted in records.

    Args:
        what: What the lines are about.
        files: The input of the work.
        every_s: The time between two lines, in seconds.
    """
    share, start, over = ShareRead(files), time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(every_s):
            spent, read = time.monotonic() - start, share()
            if read is None or read >= 1:
                line = f"the input is read, at work for {duration(spent)}"
            else:
                left = time_left(read, spent)
                line = f"{100 * read:.0f}% of the input read{', ' if left else ''}{left}"
            logger.info("%s: %s", what, line, extra=ON_CONSOLE)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
