"""The search for fits: the fewest that help, and an end to searching in vain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.fit_advice import HOPELESS, FitAdvisor, admitted
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


def test_why_nothing_helps_is_said() -> None:
    """Which fit leads to which other error; the same is said where the search has ended."""

    def attempt(names: Sequence[str]) -> None:
        raise Reject("template_refused", "ids" if "nine_character_ids" not in names else "roles")

    advisor = FitAdvisor()
    error = Reject("template_refused", "ids")
    details = [advisor.advised(error, MESSAGES, attempt).detail for _ in range(HOPELESS + 1)]
    assert set(details) == {
        f"ids. No template_fit admits it: with {', '.join(FITS)} it is template_refused, roles"
    }


def test_conversations_of_another_kind_are_still_tried() -> None:
    """What is hopeless where there are parallel calls may help where there are none."""
    advisor = FitAdvisor()
    for _ in range(HOPELESS):
        advisor.advised(refused(), MESSAGES, Template("none of them"))
    error = advisor.advised(refused(), [USER, USER], Template("alternating_roles"))
    assert "Hint: template_fit: [alternating_roles] admits it" in error.detail


def test_a_listed_fit_that_is_in_the_way_is_not_made() -> None:
    """The fewest that admit the conversation, whatever was admitted before."""
    tried: list[Sequence[str]] = []

    def attempt(names: Sequence[str]) -> Sequence[str]:
        tried.append(names)
        if "text_beside_calls" in names or "alternating_roles" not in names:
            raise refused()
        return names

    made = admitted(refused(), MESSAGES, attempt, ("text_beside_calls", "alternating_roles"))
    assert made == ("alternating_roles",)
    assert tried == [(), ("text_beside_calls",), ("alternating_roles",)]
    with pytest.raises(Reject, match="No template_fit admits it"):
        admitted(refused(), MESSAGES, attempt, ("text_beside_calls",))
    with pytest.raises(Reject, match=r"content_not_placed: message 3: no$"):
        admitted(refused("content_not_placed"), MESSAGES, attempt, ("alternating_roles",))
