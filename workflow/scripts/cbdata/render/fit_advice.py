"""Which fits would admit a conversation that a template refuses, found by trying."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Generic, TypeVar, cast

from cbdata.rejects import Reject
from cbdata.render.fits import CALLS_APART, FITS, JOINED, Message, fit

REFUSALS = frozenset(
    (
        "template_refused",
        "template_error",
        "message_not_rendered",
        "content_dropped",
        "thinking_dropped",
        "call_not_rendered",
        "arguments_dropped",
    )
)
"""Reasons for which a template is to blame, and not the search for the places."""


ALTERNATING = "alternating_roles"

Result = TypeVar("Result")
Attempt = Callable[[Sequence[str]], Result]
"""Renders a conversation with the named fits; raises Reject where it cannot."""


class Search(Generic[Result]):
    """Tries fits on one conversation that is rejected without them, or with all of them.

    Attributes:
        names: The fits that admitted it, or None.
        made: What they made.
        why: Why none did, as the end of a sentence; empty where there were none to try.
    """

    def __init__(
        self,
        error: Reject,
        messages: Sequence[Message],
        attempt: Attempt[Result],
        candidates: Iterable[tuple[str, ...]],
    ) -> None:
        """Try candidates until one admits the conversation.

        Args:
            error: Why it is rejected.
            messages: The messages of the trace.
            attempt: Renders them with the named fits.
            candidates: Names of fits, in order, perhaps with ``CALLS_APART``; those that change
                less than they name are left out.
        """
        self.names: tuple[str, ...] | None = None
        self.made: Result | None = None
        self.why = ""
        for names in candidates:
            if not _all_apply(messages, names):
                continue
            try:
                self.made = attempt(names)
            except Reject as other:
                self.why = ". No template_fit admits it"
                if names and _kind(other) != _kind(error):
                    self.why += f": with {', '.join(names)} it is {other.reason}, {other.detail}"
                continue
            self.names = names
            return


def advised(error: Reject, messages: Sequence[Message], attempt: Attempt[object]) -> Reject:
    """The error, with the setting that would admit the conversation or why there is none. It does
    not depend on what was rejected before, so that rejects are the same however rows are divided.

    Args:
        error: Why the conversation is rejected as it is.
        messages: The messages of the trace.
        attempt: Renders them with the named fits.
    """
    if error.reason not in REFUSALS:
        return error
    found = Search(error, messages, attempt, _sets(FITS, 1))
    if found.names is None:
        return Reject(error.reason, error.detail + found.why) if found.why else error
    listed = ", ".join(name for name in found.names if name in FITS)
    return Reject(error.reason, f"{error.detail}. Hint: template_fit: [{listed}] admits it")


def admitted(
    error: Reject, messages: Sequence[Message], attempt: Attempt[Result], listed: Sequence[str]
) -> Result:
    """What the fewest of the listed fits make of a conversation that is rejected with all of them,
    for one fit may be in the way of another. Nothing is remembered, so that a row does not depend
    on the rows before it.

    Args:
        error: Why it is rejected with all of them.
        messages: The messages of the trace.
        attempt: Renders them with the named fits.
        listed: The fits of the settings.

    Raises:
        Reject: None of them admit it.
    """
    if error.reason not in REFUSALS and JOINED not in error.detail:
        raise error
    names = [name for name in FITS if name in listed]
    found = Search(error, messages, attempt, _sets(names, 0))
    if found.names is None:
        raise Reject(error.reason, error.detail + found.why) from error
    return cast("Result", found.made)


def _sets(names: Iterable[str], smallest: int) -> list[tuple[str, ...]]:
    """Every choice of so many of the names or more, the smallest first, and then those with
    ``CALLS_APART``.
    """
    pool = [*names]
    plain = [
        chosen for size in range(smallest, len(pool) + 1) for chosen in combinations(pool, size)
    ]
    return [*plain, *((*each, CALLS_APART) for each in plain if ALTERNATING in each)]


def _all_apply(messages: Sequence[Message], names: Sequence[str]) -> bool:
    """Whether each of the names changes something."""
    plain = [name for name in names if name in FITS]
    made = fit(messages, names)
    if set(made.applied) != set(plain):
        return False
    return len(plain) == len(names) or made.messages != fit(messages, plain).messages


def _kind(error: Reject) -> str:
    return f"{error.reason} {re.sub(r'[0-9]+|message .*', '', error.detail)}"
