"""What the records of a benchmark like AgentDojo call their user tasks, and how they word them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cbdata.rejects import Reject
from cbdata.sources.agentdojo_messages import normalise
from cbdata.sources.agentdojo_runs import read_run
from cbdata.sources.raw_lines import parse_object
from cbdata.sources.raw_records import read_records
from cbdata.sources.split_keys import task_key
from cbdata.sources.wordings import Wordings


def read_wordings(
    files: Iterable[Path], adapt: Callable[[dict[str, Any], Path], dict[str, Any]]
) -> Wordings:
    """Read the wordings of all user tasks. Records that cannot be read have none.

    Args:
        files: Raw files of transcripts.
        adapt: Makes of a record, and the path of its file, a record as AgentDojo's own.

    Raises:
        SourceError: A file cannot be read at all.
    """
    wordings = Wordings()
    for path in files:
        for line in read_records(path):
            try:
                _take(adapt(parse_object(line), path), wordings)
            except Reject:
                continue
    return wordings


def _take(record: dict[str, Any], wordings: Wordings) -> None:
    run = read_run(record)
    messages = record.get("messages")
    for raw in messages if type(messages) is list else ():
        if type(raw) is dict and raw.get("role") == "user":
            words = task_key(normalise([raw]).messages, [])
            if words:
                wordings.join((run.suite, run.user_task), words)
            return
