"""Safe text escapes what is added to it as markupsafe does, and keeps origins where nothing is
escaped.
"""

from __future__ import annotations

import pytest
from markupsafe import Markup

from cbdata.render.safe_text import SafeText, mark_safe
from cbdata.render.traced_text import Origin, TracedText, traced

HERE = Origin("content", 0)


@pytest.mark.parametrize("other", ["", "plain", "<b>", "a & 'b'", Markup("<i>")])
def test_additions_are_markupsafe_s(other: str) -> None:
    safe = mark_safe(traced("<x>", HERE))
    assert str(safe + other) == str(Markup("<x>") + other)
    assert str(other + safe) == str(other + Markup("<x>"))
    assert str(safe + other + "<") == str(Markup("<x>") + other + "<")


def test_origins_stay_where_nothing_is_escaped() -> None:
    value = "(" + mark_safe(traced("<x>", HERE)) + ")"
    assert isinstance(value, SafeText)
    assert [(part.start, part.end, part.origin) for part in value.parts] == [(1, 4, HERE)]
    assert isinstance(value.strip("()"), SafeText)
    assert type(str(value)) is TracedText
