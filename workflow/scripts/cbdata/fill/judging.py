"""Where the fill stage meets the judge: whether a skeleton can have an accepted completion at all,
and what a stored completion is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cbdata.fill.call_reading import CompletionReader
from cbdata.fill.outcome_watch import OutcomeWatch
from cbdata.fill.progress_store import Stored
from cbdata.fill.requests import WorkItem
from cbdata.fill.settings import FillSettings
from cbdata.fill.skeletons import Skeleton
from cbdata.judge.goal_calls import goal_ineligible, judge_goal
from cbdata.judge.judgement import Judgement, ineligible, judge
from cbdata.judge.reading import read_completion
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
        settings: The run's settings; the criteria are among them.
        tools: The schema that calls are judged by.
    """
    attack = record.get("tool_attack") or {}
    if "decision_point" in record:
        why = goal_ineligible(
            mode,
            attack.get("target_calls", ()),
            attack.get("expected_calls"),
            tools,
            settings.dr_criterion,
        )
    else:
        why = ineligible(
            mode,
            attack.get("expected_tool"),
            attack.get("simulated_tool"),
            tools,
            settings.ds_criterion,
        )
    return Reject(*why) if why else None


class ShardJudge:
    """Judges the completions of one shard, and watches what they are."""

    def __init__(
        self,
        reader: CompletionReader,
        tools: ToolSchema,
        settings: FillSettings,
        skeletons: Sequence[Mapping[str, Skeleton]],
    ) -> None:
        """Judge by a run's settings.

        Args:
            reader: Takes completions apart.
            tools: The schema for skeletons whose own tools are not known.
            settings: The run's settings: the criterion of DS, whether arguments must fit.
            skeletons: The shard's skeletons by trace id, for each set of the job.
        """
        self._reader, self._tools, self._settings = reader, tools, settings
        self._skeletons = skeletons
        self.watch = OutcomeWatch()

    def __call__(self, item: WorkItem, stored: Stored) -> Judgement:
        """What a stored completion of an item is."""
        skeleton = self._skeletons[item.set_index][item.trace_id]
        attack = skeleton.record.get("tool_attack") or {}
        tools = skeleton.tools or self._tools
        rules = self._reader.rules(item.prompt_ids)
        parsed = read_completion(self._reader.completion(stored.token_ids), tools, rules)
        given: dict[str, Any] = {
            "finish_reason": stored.finish_reason,
            "mode": item.mode,
            "tool_schema": tools,
            "strict_arguments": self._settings.strict_arguments,
            "rules": rules,
            "overrun": item.sampling.budget.overrun(parsed, stored.token_ids, self._reader),
        }
        if "decision_point" in skeleton.record:
            judgement = judge_goal(
                parsed,
                target_calls=attack.get("target_calls", ()),
                expected_calls=attack.get("expected_calls"),
                dr_criterion=self._settings.dr_criterion,
                refusal=self._settings.refusal,
                **given,
            )
        else:
            judgement = judge(
                parsed,
                expected_tool=attack.get("expected_tool"),
                simulated_tool=attack.get("simulated_tool"),
                ds_criterion=self._settings.ds_criterion,
                **given,
            )
        self.watch.note(judgement, stored.text)
        return judgement
