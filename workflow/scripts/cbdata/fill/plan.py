"""What a shard of a skeleton set has to do: which completions to generate, and what is settled
without a model.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbdata.fill.job import FillJob
from cbdata.fill.judging import no_completion_possible
from cbdata.fill.prompts import skeleton_messages
from cbdata.fill.requests import Sampling, WorkItem, overlength
from cbdata.fill.settings import FillSettings
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.fill.skeletons import Skeleton, earlier_ids, shard_skeletons
from cbdata.progress import Progress
from cbdata.records import Message, Mode
from cbdata.rejects import Reject
from cbdata.render.settings import Prompt
from cbdata.tools import ToolSchema

RenderPrompt = Callable[[list[Message], list[dict[str, Any]]], Prompt]
"""Messages and tools to a prompt; raises Reject."""


@dataclass(frozen=True)
class SettledSkeleton:
    """A skeleton in a mode that gets no completion: ``fault`` says why, None is a duplicate."""

    skeleton: Skeleton
    mode: Mode
    fault: Reject | None


@dataclass
class ShardPlan:
    """What a shard of a set has to do: its skeletons by id, what to generate, what is settled
    already.
    """

    skeletons: dict[str, Skeleton] = field(default_factory=dict)
    items: list[WorkItem] = field(default_factory=list)
    settled: list[SettledSkeleton] = field(default_factory=list)
    first_prompt: str | None = None

    @property
    def longest_prompt(self) -> int:
        """Tokens of the longest prompt, 0 if there is none."""
        return max((len(item.prompt_ids) for item in self.items), default=0)

    def describe(self) -> str:
        """How long the prompts are, and how many do not fit, for the log."""
        sizes = sorted(len(item.prompt_ids) for item in self.items)
        faults = [each.fault for each in self.settled if each.fault is not None]
        long = sum(fault.reason == "overlength" for fault in faults)
        found = f"{len(self.skeletons)} skeletons, {len(sizes)} prompts"
        if sizes:
            found += f" of {sizes[0]} to {sizes[-1]} tokens (median {sizes[len(sizes) // 2]})"
        return f"{found}; {long} prompts do not fit the context (overlength)"


def plan_shard(
    job: FillJob,
    schemas: SkeletonTools,
    render: RenderPrompt,
    sampling: Mapping[Mode, Sampling],
    context: int,
    set_index: int = 0,
) -> ShardPlan:
    """Render the prompts of a shard and set aside what needs no generation, each with its reason.

    Args:
        job: The shard and its settings.
        schemas: Finds the tools of each skeleton.
        render: Makes the prompt of messages and tools.
        sampling: What completions depend on, for each of the job's modes.
        context: Longest prompt plus completion in tokens.
        set_index: Which of the job's sets, from 0.
    """
    plan = ShardPlan()
    part = job.sets[set_index]
    progress = Progress(
        f"prompts of {part.stem}, shard {job.shard} of {job.shards}", files=[part.skeletons]
    )
    limit = job.settings.limit
    earlier = earlier_ids((each.skeletons for each in job.sets[:set_index]), limit)
    for skeleton in shard_skeletons(
        part.skeletons, limit, job.shard, job.shards, earlier, job.engine or 0, job.parts
    ):
        skeleton = schemas.known(skeleton)
        if not skeleton.duplicate:
            plan.skeletons[skeleton.trace_id] = skeleton
        tools = skeleton.tools or schemas.configured
        for mode in job.settings.modes:
            if skeleton.duplicate:
                plan.settled.append(SettledSkeleton(skeleton, mode, None))
                continue
            try:
                prompt = _prompt(skeleton, sampling[mode], tools, render, context)
            except Reject as fault:
                # Without its traceback, which would keep the frames of the renderer alive.
                plan.settled.append(SettledSkeleton(skeleton, mode, fault.with_traceback(None)))
                continue
            plan.first_prompt = plan.first_prompt or prompt.text
            plan.items.append(
                WorkItem(
                    skeleton.trace_id,
                    skeleton.line,
                    mode,
                    array.array("I", prompt.ids),
                    prompt.sha256,
                    sampling[mode].held_to(schemas.grammar(tools)),
                    set_index,
                )
            )
        progress.add()
    progress.finish()
    return plan


def prompt_messages(record: Mapping[str, Any], mode: Mode, settings: FillSettings) -> list[Message]:
    """Return the messages to complete under a run's settings; see ``skeleton_messages``.

    Args:
        record: The skeleton, a valid trace_v1.
        mode: The mode of the completion.
        settings: The run's settings.

    Raises:
        Reject: The skeleton has no prompt in this mode.
    """
    return skeleton_messages(
        record, mode, settings.dr_context, settings.ds_system_suffix, settings.dr_system_suffix
    )


def _prompt(
    skeleton: Skeleton,
    sampling: Sampling,
    tools: ToolSchema,
    render: RenderPrompt,
    context: int,
) -> Prompt:
    mode, settings = sampling.mode, sampling.settings
    fault = skeleton.fault or _unfit(skeleton.record, mode, settings, tools)
    if fault is not None:
        raise fault
    prompt = render(prompt_messages(skeleton.record, mode, settings), list(tools.tools))
    if fault := overlength(len(prompt.ids), sampling.budget, context):
        raise fault
    return prompt


def _unfit(
    record: Mapping[str, Any], mode: Mode, settings: FillSettings, tools: ToolSchema
) -> Reject | None:
    if record["completeness"] != "skeleton":
        return Reject("not_a_skeleton", f"completeness is {record['completeness']}")
    return no_completion_possible(record, mode, settings, tools)
