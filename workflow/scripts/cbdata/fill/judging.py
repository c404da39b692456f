"""Where the fill stage meets the judge: whether a skeleton can have an accepted completion at all,
and what a stored completion is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cbdata.fill.progress_store import Stored
from cbdata.fill.requests import WorkItem
from cbdata.fill.settings import FillSettings
from cbdata.fill.skeletons import Skeleton
from cbdata.judge.judgement import Judgement, ineligible, judge
from cbdata.records import Mode
from cbdata.rejects import Reject
from cbdata.tools import ToolSchema


def no_completion_possible(
    record: Mapping[str, Any], mode: Mode, settings: FillSettings, tools: ToolSchema
) -> Reject | None:
    """Say why no completion of a skeleton can be accepted in a mode, or None.

    Args:
        record: A valid trace_v1.
        mode: The mode of the completion.
        settings: The run's settings; the criterion of DS is among them.
        tools: The schema that calls are judged by.
    """
    attack = record.get("tool_attack") or {}
    why = ineligible(
        mode,
        attack.get("expected_tool"),
        attack.get("simulated_tool"),
        tools,
        settings.ds_criterion,
    )
    return Reject(*why) if why else None


def judge_with(
    tools: ToolSchema, settings: FillSettings, skeletons: Mapping[str, Skeleton]
) -> Callable[[WorkItem, Stored], Judgement]:
    """Return the judge of one shard's completions.

    Args:
        tools: The schema that calls are judged by.
        settings: The run's settings: the criterion of DS, whether arguments must fit.
        skeletons: The shard's skeletons by trace id.
    """

    def verdict(item: WorkItem, stored: Stored) -> Judgement:
        attack = skeletons[item.trace_id].record.get("tool_attack") or {}
        return judge(
            stored.text,
            finish_reason=stored.finish_reason,
            mode=item.mode,
            expected_tool=attack.get("expected_tool"),
            simulated_tool=attack.get("simulated_tool"),
            tool_schema=tools,
            ds_criterion=settings.ds_criterion,
            strict_arguments=settings.strict_arguments,
        )

    return verdict
