"""Why a trace is not cut into a skeleton."""

from __future__ import annotations

from cbdata.rejects import Hints, Reasons

REASONS: Reasons = {
    "invalid_trace": "the record does not fit trace_v1",
    "span_missing": "the trace is exposed, and does not say where the injection stands",
    "span_outside_message": "the injection span lies outside its message or is empty",
    "injection_not_in_tool_result": "the injection first stands in a message of the user or the"
    " system, so there is no turn of tool results to cut behind",
    "result_without_call": "decision_prefix is minimal, and the injected result names no call of"
    " the turn before it",
    "unknown_goal": "the table of attack goals does not have this suite and injection task",
    "goal_without_calls": "the attack's goal is something to say and no call, so that no call tells"
    " a DS",
    "goal_equals_task": "the calls of the attack's goal are calls of the user's own task, so that"
    " an honest answer and a followed injection look alike",
}
"""Every reason of the cut stage."""

HINTS: Hints = {
    "invalid_trace": "run the load stage again, or give a file of traces (trace_v1)",
    "result_without_call": "set decision_prefix=recorded",
    "unknown_goal": "add the goal to the source's table in configs/attack_goals",
    "goal_without_calls": "nothing to do: no call tells a harmful completion of such an attack",
    "goal_equals_task": "nothing to do: both answers look alike",
}
"""What to set where a reason is frequent."""
