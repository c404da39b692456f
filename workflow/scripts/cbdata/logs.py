"""Logging of a rule's script: everything into the rule's log file, and to stderr what people who
watch the run need.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from cbdata.atomic_file import FileError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
SHORT_CONSOLE = "CB_SHORT_CONSOLE"
"""Environment variable that the main process of a run sets for its jobs: stderr is a console that
others write to as well, and the main process tells there why a job failed.
"""
OWN_LOGGERS = ("cbdata", "script")
FAILED = "the job failed"
"""The message of the last record of a job that failed, behind that with the reason."""

_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) [^ ]+: (.*)$")
_TAIL_BYTES = 1 << 18
_KNOWN_BYTES = 256
"""The end of a log file by which it is known again: its records have times."""
_INDENT = "    "

logger = logging.getLogger("script")


class _Records(logging.Formatter):
    """Every line of a message but its first is indented, so that a text in a log cannot be taken
    for a record of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", f"\n{_INDENT}")


class _ShortConsole(logging.Filter):
    """Lets through progress and the project's own warnings."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "on_console", False):
            return True
        own = record.name.split(".")[0] in OWN_LOGGERS
        return own and record.levelno == logging.WARNING


class _LogFile(logging.FileHandler):
    """A log file. Where it takes no more (a full disk), the console stops to be short, since the
    reason of a failure would be lost with the file.
    """

    def __init__(self, path: str | Path, console: logging.Handler) -> None:
        super().__init__(path, encoding="utf-8")
        self._console, self._told = console, False

    def handleError(self, record: logging.LogRecord) -> None:
        """Called while the error is handled that writing a record has raised."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        shown = self._console.filter(record)
        self._console.filters.clear()
        if not self._told:
            self._told = True
            logger.warning("%s", FileError(self.baseFilename, error))
        if not shown:
            self._console.handle(record)


def configure_logging(
    log_file: str | Path | None, console: TextIO | None = None, speaker: str = ""
) -> None:
    """Send log records to ``log_file`` and to the console, and let an exception that ends the
    script leave its traceback and then its reason there.

    Args:
        log_file: The log file, which is gone on with; None for none.
        console: The stream for people, stderr if it is not given. Where the main process of a run
            watches (``SHORT_CONSOLE``), it gets progress and warnings only.
        speaker: What messages on the console begin with, where several processes share it.
    """
    stream = logging.StreamHandler(console)
    stream.setFormatter(_Records(FORMAT.replace("%(message)s", f"{speaker}%(message)s")))
    handlers: list[logging.Handler] = [stream]
    if log_file:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        file = _LogFile(log_file, stream)
        file.setFormatter(_Records(FORMAT))
        handlers.append(file)
        if os.environ.get(SHORT_CONSOLE):
            stream.addFilter(_ShortConsole())
            stream.setFormatter(_ShortFormatter(f"[%(asctime)s] {speaker}%(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    sys.excepthook = _log_uncaught


class _ShortFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname}: {text}"


def log_failure(error: BaseException, *, traceback: bool = True) -> None:
    """Log why a job fails, in the way that ``reason_in`` finds.

    Args:
        error: What ended the work.
        traceback: Whether to log where it was raised, before the reason.
    """
    own = type(error).__module__.split(".")[0] in ("cbdata", "__main__")
    reason = str(error) if own else f"{type(error).__name__}: {error}"
    if traceback:
        logger.error("where it failed", exc_info=error)
    logger.error("%s", reason)
    logger.info(FAILED)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        logger.info("stopped from the keyboard")
    else:
        log_failure(error.with_traceback(trace))


class JobLogs:
    """The log files of jobs, as the main process of a run looks at them. A log file may be gone on
    with, so what stood in it before a job started is not that job's; or it may be removed first.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, str]] = {}

    def started(self, logs: Sequence[str]) -> None:
        """Remember how the log files of a job end that is about to start."""
        for path in logs:
            size = _size(path)
            self._before[path] = size, _text(path, max(0, size - _KNOWN_BYTES), size)

    def _start(self, path: str) -> int:
        """The byte from which a log file is the job's: 0 where it is not the file that it was."""
        size, end = self._before.get(path, (0, ""))
        return size if _text(path, max(0, size - _KNOWN_BYTES), size) == end else 0

    def reason(self, logs: Sequence[str]) -> str | None:
        """Why a job failed, by its own words; None where it left none.

        Args:
            logs: Its log files; the first that tells a reason counts.
        """
        found = (reason_in(path, self._start(path)) for path in logs)
        return next((reason for reason in found if reason is not None), None)

    def last_lines(self, logs: Sequence[str], count: int = 5) -> list[str]:
        """The last lines that a job left in the last of its log files that has any.

        Args:
            logs: Its log files.
            count: The most lines that are returned.
        """
        for path in reversed(logs):
            lines = [line for line in _tail(path, self._start(path)).split("\n") if line]
            if lines:
                return lines[-count:]
        return []


def reason_in(path: str | Path, start: int = 0) -> str | None:
    """The reason that ``log_failure`` left last in a log file, None if there is none.

    Args:
        path: The log file, which need not be there.
        start: The byte from which it is looked for.
    """
    level, found, reason = "", [], None
    for line in _tail(path, start).split("\n"):
        record = _RECORD.match(line)
        if record is None:
            found.append(line.removeprefix(_INDENT))
            continue
        if level == "ERROR" and record[2] == FAILED:
            reason = "\n".join(found).rstrip()
        level, found = record[1], [record[2]]
    return reason


def _tail(path: str | Path, start: int) -> str:
    """The end of a file behind a byte; all of it where the file is shorter than it was."""
    size = _size(path)
    return _text(path, max(start if start <= size else 0, size - _TAIL_BYTES))


def _text(path: str | Path, start: int, end: int | None = None) -> str:
    """What stands in ``[start, end)`` of a file, or behind ``start``; empty if it is unreadable."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(-1 if end is None else end - start).decode("utf-8", "replace")
    except OSError:
        return ""


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
