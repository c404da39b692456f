"""Which fits would admit a conversation that a template refuses, found by trying."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar, cast

from cbdata.rejects import Reject
from cbdata.render.fits import FITS, Message, fit

HOPELESS = 3
"""So many conversations rejected alike, and no fit admits them: the next ones are not tried."""

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


Result = TypeVar("Result")
Attempt = Callable[[Sequence[str]], Result]
"""Renders a conversation with the named fits; raises Reject where it cannot."""


class Key(NamedTuple):
    """What conversations have in common that the same fits help: the kind of error, and the fits
    that change something.
    """

    kind: str
    fits: tuple[str, ...]


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
            candidates: Names of fits, in order; those that change less than they name are left out.
        """
        self.names: tuple[str, ...] | None = None
        self.made: Result | None = None
        self.why = ""
        for names in candidates:
            if set(fit(messages, names).applied) != set(names):
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


class FitAdvisor:
    """Tries fits on rejected conversations, and remembers what helped against which error."""

    def __init__(self) -> None:
        self._helped: dict[Key, tuple[str, ...]] = {}
        self._hopeless: Counter[Key] = Counter()
        self._why: dict[Key, str] = {}

    def advised(
        self, error: Reject, messages: Sequence[Message], attempt: Attempt[object]
    ) -> Reject:
        """The error, with the setting that would admit the conversation or why there is none.

        Args:
            error: Why the conversation is rejected as it is.
            messages: The messages of the trace.
            attempt: Renders them with the named fits.
        """
        if error.reason not in REFUSALS:
            return error
        key = Key(_kind(error), tuple(name for name in FITS if fit(messages, [name]).applied))
        if self._hopeless[key] >= HOPELESS:
            return Reject(error.reason, error.detail + self._why[key])
        helped = [self._helped[key]] if key in self._helped else []
        found = Search(error, messages, attempt, (*helped, *_sets(FITS, 1)))
        if found.names is None:
            self._hopeless[key] += 1
            self._why[key] = found.why
            return Reject(error.reason, error.detail + found.why) if found.why else error
        self._helped[key] = found.names
        self._hopeless[key] = 0
        listed = ", ".join(found.names)
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
    if error.reason not in REFUSALS:
        raise error
    names = [name for name in FITS if name in listed]
    found = Search(error, messages, attempt, _sets(names, 0))
    if found.names is None:
        raise Reject(error.reason, error.detail + found.why) from error
    return cast("Result", found.made)


def _sets(names: Iterable[str], smallest: int) -> list[tuple[str, ...]]:
    """Every choice of so many of the names or more, the smallest first."""
    pool = [*names]
    return [
        chosen for size in range(smallest, len(pool) + 1) for chosen in combinations(pool, size)
    ]


def _kind(error: Reject) -> str:
    return f"{error.reason} {re.sub(r'[0-9]+|message .*', '', error.detail)}"
