"""Logging of a rule's script: into the rule's log file and to stderr, tracebacks included."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import TracebackType

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging(log_file: str | Path | None) -> None:
    """Send log records, and the traceback of an exception that ends the script, to stderr and to
    ``log_file``.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if log_file:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=handlers, force=True)

    def log_uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        logging.getLogger("script").error(
            "%s: %s", kind.__name__, error, exc_info=(kind, error, trace)
        )

    sys.excepthook = log_uncaught
