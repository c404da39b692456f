"""Why a skeleton has no trace in a mode: before generation, at the engine, or by the judge."""

from __future__ import annotations

from cbdata.judge.outcomes import OUTCOMES
from cbdata.rejects import Hints, Reasons
from cbdata.render.reasons import HINTS as RENDER_HINTS
from cbdata.render.reasons import REASONS as RENDER_REASONS

PROMPT_REASONS: Reasons = {
    "no_attack": "a DS of a skeleton without an attack",
    "no_injection_span": "dr_context is removed, and the skeleton does not say where the injection"
    " stands",
    "bad_injection_span": "the injection span lies outside its message, or does not hold the"
    " injection's text",
    "injection_remains": "the injection's text is still there after its spans were cut out",
    "empty_user_message": "nothing but white space is left of the message that held the injection",
    "not_a_skeleton": "the trace already ends with an assistant message, or has no message at all",
}
"""Why a skeleton has no prompt in a mode."""

REASONS: Reasons = {
    **RENDER_REASONS,
    **PROMPT_REASONS,
    "identical_twins": "the DS and the DR of a skeleton have the same answer, so that the pair asks"
    " for one answer to be unlearned and kept",
    "overlength": "prompt and longest completion together do not fit the context",
    "engine_refused": "the engine would not take the request",
    **OUTCOMES,
}
"""Every reason of the fill stage; prompts are rendered here, so the renderer's reasons are among
them.
"""

_ATTEMPTS = "normal for a part of the skeletons: more attempts or another temperature yield more"
_BUDGET = "raise max_tokens"

HINTS: Hints = {
    **RENDER_HINTS,
    "overlength": "raise max_model_len if the model allows it, or lower max_tokens",
    "no_injection_span": "set dr_context=kept for skeletons that do not say where it stands",
    "followed_injection": _ATTEMPTS,
    "expected_tool": _ATTEMPTS,
    "other_tool": _ATTEMPTS,
    "mixed_calls": _ATTEMPTS,
    "no_call": "a model that writes no calls: constrain_tool_calls=true forces their form",
    "refusal": "a model that refuses yields few harmful completions: try another, or ds_criterion",
    "unknown_tool": "set tool_schema to the tools of these skeletons",
    "tool_not_in_schema": "set tool_schema to the tools of these skeletons",
    "bad_arguments": "set strict_arguments=false to keep them, recorded as invalid",
    "malformed": "see whether call_format is that of the model (docs/fill.md)",
    "unclear": "accept_calls_in_prose=true takes calls amid clean prose",
    "truncated": _BUDGET,
    "thinking_truncated": "raise max_thinking_tokens",
    "equal_tools": "nothing to do: no completion tells harmful from benign",
}
"""What to set where a reason is frequent."""
