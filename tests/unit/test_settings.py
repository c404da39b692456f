"""Settings classes are filled from larger mappings by the names of their fields."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cbdata.settings import settings_from


@dataclass(frozen=True)
class Some:
    needed: int
    more: str = "default"


def test_fields_are_taken_by_name_and_all_else_is_left() -> None:
    assert settings_from({"needed": 1, "more": "x", "other": 2}, Some) == Some(1, "x")
    assert settings_from({"needed": None, "other": 2}, Some) == Some(None)  # type: ignore[arg-type]


def test_a_field_without_a_value_is_an_error() -> None:
    with pytest.raises(TypeError, match="needed"):
        settings_from({"more": "x"}, Some)
