"""The one way to answer a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(unknown: str, known: Iterable[str]) -> str:
    """``did you mean X or Y?`` with up to three known names that are close to an unknown one.

    Close are names of a similarity of 0.5 and more (``difflib``, case aside), else names that
    contain the unknown one. Empty where there is none.
    """
    by_folded = {name.casefold(): name for name in known}
    folded = unknown.casefold()
    close = difflib.get_close_matches(folded, by_folded, n=3, cutoff=0.5) or [
        name for name in by_folded if folded and folded in name
    ]
    return f"did you mean {' or '.join(by_folded[name] for name in close)}?" if close else ""
