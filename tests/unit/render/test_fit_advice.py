"""The search for fits: the fewest that help, and an end to searching in vain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.fit_advice import HOPELESS, FitAdvisor
from cbdata.render.fits import FITS

USER = {"role": "user", "content": "question"}
CALLS: dict[str, Any] = {
    "role": "assistant",
    "content": "text",
    "tool_calls": [
        {"call_id": name, "function": {"name": "tool", "arguments": {}}} for name in ("a", "b")
    ],
}
MESSAGES = [USER, USER, CALLS, {"role": "tool", "content": "found", "tool_call_id": "a"}]


class Template:
    """Renders with the wanted fits and no others; counts how often it is tried."""

    def __init__(self, *wanted: str) -> None:
        self.wanted, self.tried = set(wanted), 0

    def __call__(self, names: Sequence[str]) -> None:
        self.tried += 1
        if set(names) != self.wanted:
            raise Reject("template_refused", "no")


def refused(reason: str = "template_refused") -> Reject:
    return Reject(reason, "message 3: no")


def test_the_fewest_that_help_are_named() -> None:
    for wanted in (
        ("alternating_roles",),
        ("text_beside_calls", "nine_character_ids"),
        tuple(FITS),
    ):
        error = FitAdvisor().advised(refused(), MESSAGES, Template(*wanted))
        assert error.reason == "template_refused"
        assert error.detail == f"message 3: no. Hint: template_fit: [{', '.join(wanted)}] admits it"


def test_what_helped_is_tried_first() -> None:
    advisor, template = FitAdvisor(), Template(*FITS)
    advisor.advised(refused(), MESSAGES, template)
    assert template.tried == 2 ** len(FITS) - 1
    advisor.advised(refused(), MESSAGES, template)
    assert template.tried == 2 ** len(FITS)


def test_fits_that_change_nothing_are_not_tried() -> None:
    template = Template("nine_character_ids")
    assert "Hint" not in FitAdvisor().advised(refused(), [USER], template).detail
    assert template.tried == 0


def test_other_reasons_are_not_the_templates() -> None:
    error, template = refused("content_not_placed"), Template("alternating_roles")
    assert FitAdvisor().advised(error, MESSAGES, template) is error
    assert template.tried == 0


def test_the_search_ends_where_nothing_ever_helps() -> None:
    advisor, template = FitAdvisor(), Template("none of them")
    for _ in range(HOPELESS):
        advisor.advised(refused(), MESSAGES, template)
    tried = template.tried
    advisor.advised(Reject("template_refused", "message 4: no"), MESSAGES, template)
    assert template.tried == tried
    advisor.advised(refused("content_dropped"), MESSAGES, template)
    assert template.tried > tried
