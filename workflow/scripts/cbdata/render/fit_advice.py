"""Which fits would admit a conversation that a template refuses, found by trying."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

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


class FitAdvisor:
    """Tries fits on rejected conversations, and remembers what helped against which error."""

    def __init__(self) -> None:
        self._helped: dict[str, tuple[str, ...]] = {}
        self._hopeless: Counter[str] = Counter()

    def advised(
        self,
        error: Reject,
        messages: Sequence[Message],
        attempt: Callable[[Sequence[str]], object],
    ) -> Reject:
        """The error, with the setting that would admit the conversation if there is one.

        Args:
            error: Why the conversation is rejected as it is.
            messages: The messages of the trace.
            attempt: Renders them with the named fits; raises Reject where it cannot.
        """
        if error.reason not in REFUSALS:
            return error
        kind = f"{error.reason} {re.sub(r'[0-9]+|message .*', '', error.detail)}"
        if self._hopeless[kind] >= HOPELESS:
            return error
        for names in self._candidates(kind):
            if set(fit(messages, names).applied) != set(names):
                continue
            try:
                attempt(names)
            except Reject:
                continue
            self._helped[kind] = names
            self._hopeless[kind] = 0
            listed = ", ".join(names)
            return Reject(error.reason, f"{error.detail}. Hint: template_fit: [{listed}] admits it")
        self._hopeless[kind] += 1
        return error

    def _candidates(self, kind: str) -> Iterator[tuple[str, ...]]:
        if kind in self._helped:
            yield self._helped[kind]
        for size in range(1, len(FITS) + 1):
            yield from combinations(FITS, size)
