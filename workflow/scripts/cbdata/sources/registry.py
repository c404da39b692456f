"""The sources that ETL_A reads: one line each, from which rules, targets and data set cards follow.

A source is a module ``cbdata/sources/{name}.py`` with a function ``convert`` (``Converter``) and a
table ``REASONS``, and an entry in ``SOURCES``. This module imports none of them: a rule's digest
has the code of its own source alone, so a change of one source does not run the others again.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cbdata.rejects import Reasons
from cbdata.sources.options import DEFAULTS, LoadOptions
from cbdata.sources.reasons import READING

if TYPE_CHECKING:
    from pathlib import Path

    from cbdata.sources.splits import Split
    from cbdata.stage import StageFiles


CONFIGURED = "tool_schema"
"""In the place of a pattern: the tool schema that the configuration's key of this name means."""


RUN_CLASSES = ("injection_succeeded", "injection_resisted", "injection_unseen", "benign")
"""The classes of AgentDojo's runs, and of those that are labelled as they are."""


class Converter(Protocol):
    """What ``convert`` of a source's module looks like."""

    def __call__(
        self,
        raw: Sequence[str | Path],
        *,
        tool_schemas: Sequence[str | Path],
        split: Split,
        outputs: StageFiles,
        max_reject_fraction: float,
        options: LoadOptions = DEFAULTS,
    ) -> None:
        """Convert raw files to traces; write traces, rejects and stats, published together.

        Args:
            raw: The source's raw files.
            tool_schemas: The tool schema files that its traces refer to.
            split: A split's name, or names with fractions that add up to 1.
            outputs: Where traces, rejects and stats go.
            max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
            options: What takes part.

        Raises:
            SourceError: No run can use the input.
            TooManyRejects: More was rejected than is allowed.
        """


@dataclass(frozen=True)
class RawSource:
    """A source of raw records.

    - ``name``: of the module, and in the rule ``convert_{name}``
    - ``config_key``: the configuration's key of its path; null leaves the source out
    - ``dataset``: the data set that it makes, ``traces/{dataset}.jsonl``. Traces without an answer,
      which the fill stage completes, are called ``..._skeletons``
    - ``message``: what the rule says that it does
    - ``tree``: whether the path may be a folder, or a list of files and folders; otherwise it is
      one file
    - ``tool_schemas``: the files in configs/tool_schemas that its traces refer to, as a pattern;
      ``CONFIGURED`` means the one of the configuration, None means that they refer to none
    - ``options``: further keys of the configuration, which ``convert`` gets as ``options.own``
    - ``origin``, ``licence``: as its own page states them, for the data set card
    - ``classes``: the mixture classes of its traces, without the ``X/`` of the source's name that
      they begin with; empty where the configuration names them, None where they may have any
    - ``goals``: the name of its tables in configs/attack_goals and configs/injection_defaults,
      with which its complete traces are cut at their decision points; None where they are not cut
    - ``named_tasks``: whether ``task.family`` and ``task.name`` of its traces name the user task,
      which two wordings of one task then have in common
    """

    name: str
    config_key: str
    dataset: str
    message: str
    tree: bool
    tool_schemas: str | None
    origin: str
    licence: str
    classes: tuple[str, ...] | None = None
    goals: str | None = None
    named_tasks: bool = False
    options: tuple[str, ...] = ()

    @property
    def skeletons(self) -> bool:
        """Whether the traces wait for an answer of the fill stage."""
        return self.dataset.endswith("_skeletons")

    @property
    def stem(self) -> str:
        """The name that its data sets begin with: ``X`` of ``X_complete`` and ``X_skeletons``."""
        return self.dataset.removesuffix("_complete").removesuffix("_skeletons")

    @property
    def module(self) -> str:
        """The dotted name of the module with ``convert`` and ``REASONS``."""
        # Joined, because the code digest would take an f-string for an import of every source.
        return ".".join(("cbdata", "sources", self.name))

    def own_reasons(self) -> Reasons:
        """The reasons that records of this source alone are rejected for."""
        reasons: Reasons = importlib.import_module(self.module).REASONS
        return {code: text for code, text in reasons.items() if code not in READING}


SOURCES: tuple[RawSource, ...] = (
    RawSource(
        name="fujitsu_b4",
        config_key="fujitsu_b4_path",
        dataset="fujitsu_b4_skeletons",
        message="Convert the Fujitsu B4 records to skeleton traces.",
        tree=False,
        tool_schemas=CONFIGURED,
        origin="Fujitsu/agentic-rag-redteam-bench, doi 10.57967/hf/6395",
        licence="CC BY 4.0",
        classes=("skeleton",),
    ),
    RawSource(
        name="agentdojo",
        config_key="agentdojo_path",
        dataset="agentdojo_complete",
        message="Convert the AgentDojo transcripts to traces.",
        tree=True,
        tool_schemas="agentdojo_*_v1.json",
        origin="ethz-spylab/agentdojo, run transcripts",
        licence="MIT",
        classes=RUN_CLASSES,
        goals="agentdojo_v1",
        named_tasks=True,
    ),
    RawSource(
        name="agentdyn",
        config_key="agentdyn_path",
        dataset="agentdyn_complete",
        message="Convert the AgentDyn transcripts to traces.",
        tree=True,
        tool_schemas="agentdyn_*_v1.json",
        origin="leolee99/AgentDyn, run transcripts (arXiv 2602.03117)",
        licence="MIT",
        classes=RUN_CLASSES,
        goals="agentdyn_v1",
        named_tasks=True,
    ),
    RawSource(
        name="injecagent",
        config_key="injecagent_path",
        dataset="injecagent_skeletons",
        message="Convert the InjecAgent test cases to skeleton traces.",
        tree=True,
        tool_schemas=None,
        origin="uiuc-kang-lab/InjecAgent, test cases",
        licence="see its repository",
        classes=("skeleton",),
    ),
    RawSource(
        name="nemotron_ipi",
        config_key="nemotron_ipi_path",
        dataset="nemotron_ipi_skeletons",
        message="Convert the Nemotron indirect prompt injections to skeleton traces.",
        tree=False,
        tool_schemas=None,
        origin="nvidia/Nemotron-RL-Agentic-Indirect-Prompt-Injection-v1",
        licence="CC BY 4.0",
        classes=("skeleton",),
    ),
    RawSource(
        name="conversations",
        config_key="conversations_path",
        dataset="conversations_complete",
        message="Convert the conversations to traces.",
        tree=True,
        tool_schemas=None,
        origin="conversations of the user's own choice",
        licence="that of the data",
        classes=(),
        options=("conversations_class",),
    ),
)
