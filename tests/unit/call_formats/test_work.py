"""The work of reading grows with the length of the text, counted in characters, not in seconds."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any

import pytest

from cbdata import call_formats
from cbdata.call_formats.base import View
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from tests.unit.call_formats.given_calls import TOOLS

_SPACE = re.compile(r"\s*")


class Work:
    """Characters that were looked at or copied. A failed match counts the white space before the
    place where it failed, which is all that the formats' patterns skip without a marker.
    """

    def __init__(self) -> None:
        self.characters = 0


class Counted(str):
    """A text that counts what is searched in it and what is cut out of it."""

    work: Work

    def find(self, sub: str, *bounds: int) -> int:  # type: ignore[override]
        found = super().find(sub, *bounds)
        start, end = (*bounds, *(0, len(self))[len(bounds) :])
        self.work.characters += (found if found >= 0 else end) - start + 1
        return found

    def __getitem__(self, key: Any) -> str:
        piece = super().__getitem__(key)
        self.work.characters += len(piece)
        return piece


class CountedPattern:
    """A pattern that counts how far it looked."""

    def __init__(self, pattern: re.Pattern[str], work: Work) -> None:
        self.pattern, self.work = pattern, work

    def search(self, text: str, pos: int = 0) -> re.Match[str] | None:
        found = self.pattern.search(text, pos)
        self.work.characters += (found.end() if found else len(text)) - pos + 1
        return found

    def match(self, text: str, pos: int = 0) -> re.Match[str] | None:
        found = self.pattern.match(text, pos)
        skipped = found or _SPACE.match(text, pos)
        self.work.characters += (skipped.end() if skipped else pos) - pos + 1
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pattern, name)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Counts the work of all formats."""
    counted = Work()
    for each in pkgutil.iter_modules(call_formats.__path__, f"{call_formats.__name__}."):
        module = importlib.import_module(each.name)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, CountedPattern(value, counted))
    return counted


LENGTH = 4_000


def spent(name: str, text: str, work: Work) -> int:
    view, _ = Completion.spelled(text).view(FORMATS[name])
    text_counted, shape = Counted(view.text), Counted(view.shape)
    text_counted.work = shape.work = work
    before = work.characters
    FORMATS[name].read(View(text_counted, shape), TOOLS)
    return work.characters - before


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_twice_the_text_is_twice_the_work(name: str, work: Work) -> None:
    """Of each marker, of whole calls and begun ones, and of brackets, bare and inside a call."""
    whole = FORMATS[name].write([("first_tool", {"text": "a", "items": ["b"]})])
    pieces = {*FORMATS[name].all_markers, whole, whole[1:], *("{", "[", '"', " \n", "```", "f(")}
    pieces |= {whole[:cut] for cut in range(1, len(whole), max(1, len(whole) // 8))}
    for piece in sorted(pieces):
        for before in ("", whole[: len(whole) // 2]):
            text = before + piece * (2 * LENGTH // len(piece) + 1)
            once, twice = (spent(name, text[:length], work) for length in (LENGTH, 2 * LENGTH))
            assert 0 < twice < 2.1 * once + 200, piece
