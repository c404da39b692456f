"""Why a skeleton has no trace in a mode: before generation, at the engine, or by the judge."""

from __future__ import annotations

from cbdata.judge.outcomes import OUTCOMES
from cbdata.rejects import Reasons
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
