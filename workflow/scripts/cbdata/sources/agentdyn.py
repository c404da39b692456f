"""AgentDyn transcripts (``runs/{pipeline}/{suite}/{user task}/{attack}/{injection}.json``) to
trace_v1.

The benchmark (leolee99/AgentDyn, arXiv 2602.03117, MIT) adds the suites shopping, github and
dailylife to AgentDojo and writes its runs as AgentDojo does, with three differences. The name of a
pipeline stands in the run's folder alone: runs of local models are all called ``local``, and runs
of a defence bear the name of the bare model. The runs of a defence may lie in a folder of its own
(``DRIFT/{pipeline}``). DRIFT calls the messages ``conversations`` in some of its runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbdata.rejects import Reasons, Reject
from cbdata.sources.agentdojo import REASONS as AGENTDOJO_REASONS
from cbdata.sources.agentdojo import Benchmark, convert_runs
from cbdata.sources.agentdojo_runs import DEFENSES
from cbdata.sources.options import DEFAULTS, LoadOptions
from cbdata.sources.splits import Split
from cbdata.stage import StageFiles

DATASET = "agentdyn"

REASONS: Reasons = {
    **AGENTDOJO_REASONS,
    "two_transcripts": "the run has both messages and conversations, and they differ",
}

_RUN_PARTS = 5
"""``pipeline/suite/user task/attack/injection.json``"""


def adapt(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """A run as AgentDojo would have written it: its messages, and its pipeline by its folder.

    The name of the pipeline that the run itself has is kept as ``pipeline_name_as_written`` where
    it is another one.

    Args:
        record: The run.
        path: Of its file.

    Raises:
        Reject: ``two_transcripts``.
    """
    record = record.copy()
    if "conversations" in record:
        conversations = record.pop("conversations")
        if record.setdefault("messages", conversations) != conversations:
            raise Reject("two_transcripts", "expected messages or conversations, not both")
    written, pipeline = record.get("pipeline_name"), _pipeline(record, path)
    if pipeline is not None and pipeline != written:
        record["pipeline_name"] = pipeline
        record["pipeline_name_as_written"] = written
    return record


def _pipeline(record: dict[str, Any], path: Path) -> str | None:
    """The pipeline that a run's folders name, ``{model}-{defence}`` with a defence; None where the
    file does not lie as the benchmark puts it.
    """
    parts = path.parts[-_RUN_PARTS:]
    if len(parts) < _RUN_PARTS or parts[1:3] != (
        record.get("suite_name"),
        record.get("user_task_id"),
    ):
        return None
    above = path.parts[-_RUN_PARTS - 1].casefold() if len(path.parts) > _RUN_PARTS else ""
    if above in DEFENSES and not parts[0].casefold().endswith(f"-{above}"):
        return f"{parts[0]}-{above}"
    return parts[0]


AGENTDYN = Benchmark(DATASET, "agentdyn_path", REASONS, adapt)


def convert(
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions = DEFAULTS,
) -> None:
    """Convert AgentDyn's transcripts to traces; see ``cbdata.sources.agentdojo.convert_runs``."""
    convert_runs(
        AGENTDYN,
        raw,
        tool_schemas=tool_schemas,
        split=split,
        outputs=outputs,
        max_reject_fraction=max_reject_fraction,
        options=options,
    )
