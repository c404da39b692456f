"""What a run says to the people who watch it: a line for a job that starts, the reason of one that
fails at once and again at the end, and nothing of how Snakemake plans.

Texts only: who calls this knows the events of Snakemake (workflow/rules/console.smk).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TextIO

from cbdata.logs import JobLogs
from cbdata.report.text import seen

SHOWN_OUTPUTS = 3
SCHEDULER = "SLURM status is"
"""What the executor for SLURM has in its words on a failed job."""

_STATUS = re.compile(r"exit status (\d+)|died with <Signals\.(SIG[A-Z]+)")
KILLED = "it was killed (SIGKILL), most often because it needed more memory than there was"
INTERRUPTED = (
    "Stopped from the keyboard. What had finished is kept: the same command goes on from there."
)


class Unheard:
    """A stream whose reader may go away, as ``| head`` does: what is written then is dropped, and
    the run goes on. Snakemake 9.27 ends there, or waits for ever where a job's end is being told.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, and drop what nobody reads. Returns the number of its characters."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with suppress(BrokenPipeError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether a terminal reads it."""
        return self._stream.isatty()


@dataclass(frozen=True)
class FailedJob:
    """A job that failed, as the executor reports it.

    ``name`` is that of its rule, ``said`` is what the executor has to say about it, ``more`` are
    further facts such as the number of a SLURM job.
    """

    number: int
    name: str
    outputs: Sequence[str]
    logs: Sequence[str]
    said: str = ""
    more: Mapping[str, object] = field(default_factory=dict)


class Console:
    """The words of one run, in the order in which things happen."""

    def __init__(self) -> None:
        self._logs = JobLogs()
        self._failed: dict[int, str] = {}
        self.interrupted = False

    def job_started(self, number: int, message: str, logs: Sequence[str]) -> str:
        """The line of a job that starts.

        Args:
            number: The job's number in this run.
            message: Its rule's sentence about it.
            logs: Its log files.
        """
        self._logs.started(logs)
        return f"[{time.strftime('%H:%M:%S')}] Job {number}: {message}"

    def job_finished(self, number: int) -> None:
        """Forget that a try of a job failed before."""
        self._failed.pop(number, None)

    def job_failed(self, job: FailedJob, status: str = "") -> str:
        """Why a job failed, and where to read more. Empty where the run, or the job, is stopped
        from the keyboard.

        Args:
            job: The job.
            status: What the shell says about how it ended, if anything.
        """
        if self.interrupted:
            return ""
        reason = self._logs.reason(job.logs) or self._without_words(job, status)
        more = len(job.outputs) - SHOWN_OUTPUTS
        outputs = ", ".join(job.outputs[:SHOWN_OUTPUTS]) + (f" and {more} more" if more > 0 else "")
        # A job that was told to stop says so itself; why it was told, its scheduler knows.
        said = " ".join(job.said.split())
        facts = {
            "message": said if SCHEDULER in said and said.rstrip(".") not in reason else "",
            "output": outputs,
            "log": ", ".join(job.logs),
            **{key: str(value) for key, value in job.more.items()},
        }
        lines = [f"    {key}: {value}" for key, value in facts.items() if value]
        self._failed[job.number] = f"{job.name} (log: {', '.join(job.logs)}): {reason}"
        ended = _STATUS.search(status)
        if reason.startswith("SIGINT") or (ended and (ended[1] == "130" or ended[2] == "SIGINT")):
            # From the keyboard: the run is about to hear of it too, or it is told at the end.
            return ""
        return seen("\n".join([f"Error in rule {job.name}: {reason}", *lines]))

    def _without_words(self, job: FailedJob, status: str) -> str:
        ended = _STATUS.search(status)
        if ended and (ended[1] == "137" or ended[2] == "SIGKILL"):
            why = KILLED
        elif ended:
            why = f"it ended with {ended[2] or f'exit status {ended[1]}'}"
        else:
            why = " ".join(job.said.split()).rstrip(".") or "it ended without a word"
        last = "".join(f"\n        {line}" for line in self._logs.last_lines(job.logs))
        return f"{why}." + (f" The last lines of its log:{last}" if last else "")

    def closing(self) -> str:
        """The last words of a run that failed: every job that did, with its reason."""
        if self.interrupted:
            return INTERRUPTED
        failed = list(self._failed.values())
        if not failed:
            return "The run failed; what is wrong stands above."
        head = "A job failed." if len(failed) == 1 else f"{len(failed)} jobs failed."
        return seen("\n".join([head, *failed]))
