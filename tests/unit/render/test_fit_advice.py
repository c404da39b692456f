"""The search for fits: the fewest that help, or why none does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.fit_advice import admitted, advised
from cbdata.render.fits import CALLS_APART, FITS, JOINED

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
        error = advised(refused(), MESSAGES, Template(*wanted))
        assert error.reason == "template_refused"
        assert error.detail == f"message 3: no. Hint: template_fit: [{', '.join(wanted)}] admits it"


def test_fits_that_change_nothing_are_not_tried() -> None:
    template = Template("nine_character_ids")
    assert "Hint" not in advised(refused(), [USER], template).detail
    assert template.tried == 0


def test_other_reasons_are_not_the_templates() -> None:
    error, template = refused("content_not_placed"), Template("alternating_roles")
    assert advised(error, MESSAGES, template) is error
    assert template.tried == 0


def test_why_nothing_helps_is_said() -> None:
    """Which fit leads to which other error: of this conversation, whatever came before it."""
    for number in range(9):
        detail = f"roles of message {number}"

        def attempt(names: Sequence[str], detail: str = detail) -> None:
            error = "ids" if "nine_character_ids" not in names else detail
            raise Reject("template_refused", error)

        assert advised(Reject("template_refused", "ids"), MESSAGES, attempt).detail == (
            f"ids. No template_fit admits it: with {', '.join(FITS)} it is template_refused,"
            f" {detail}"
        )


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


ANSWERED = [USER, USER, {"role": "assistant", "content": "so"}, {**CALLS, "content": ""}]


def test_the_join_of_calls_is_left_out_where_it_is_in_the_way() -> None:
    """Only where the calls would be joined, and behind all that the settings list."""
    tried: list[Sequence[str]] = []

    def attempt(names: Sequence[str]) -> Sequence[str]:
        tried.append(names)
        if CALLS_APART not in names:
            raise refused("content_dropped" if names else "template_refused")
        return names

    wanted = ("alternating_roles", CALLS_APART)
    assert admitted(refused(), ANSWERED, attempt, ["alternating_roles"]) == wanted
    assert tried == [(), ("alternating_roles",), wanted]
    lost = Reject("content_not_placed", f"message 3: its calls {JOINED}")
    hint = "Hint: template_fit: [alternating_roles] admits it"
    assert hint in advised(refused(), ANSWERED, attempt).detail
    assert admitted(lost, ANSWERED, attempt, ["alternating_roles"]) == wanted
    with pytest.raises(Reject, match="No template_fit admits it"):
        admitted(refused(), [USER, USER], attempt, ["alternating_roles"])
