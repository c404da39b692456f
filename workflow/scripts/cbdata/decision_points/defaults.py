"""What an environment has in the places that attacks write into: the table in
configs/injection_defaults, and the search for a slot in a transcript.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from cbdata.decision_points.printed import Scalar, read_scalar, slot_span, written


class DefaultsError(ValueError):
    """A table of defaults cannot be used: names the file and what is wrong."""


@dataclass(frozen=True)
class Place:
    """Where a slot stands: the text around it in its own string, what names the object that the
    string belongs to, and the environment's own text there, white space around it included.
    """

    before: str
    after: str
    beside: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Slot:
    """A variable of an environment that attacks write into."""

    name: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class RestoredSlot:
    """A slot found in a message: code points ``[start, end)`` of injection and white space around
    it, and what stands there without the attack.
    """

    slot: str
    start: int
    end: int
    default_text: str


class InjectionDefaults:
    """The slots of a benchmark by suite."""

    def __init__(self, suites: Mapping[str, Sequence[Slot]]) -> None:
        self._suites = suites

    @classmethod
    def load(cls, path: str | Path) -> InjectionDefaults:
        """Read a table. Raises DefaultsError."""
        try:
            suites = orjson.loads(Path(path).read_bytes())["suites"]
            return cls(
                {
                    suite: tuple(
                        Slot(
                            name,
                            tuple(
                                Place(
                                    place["before"],
                                    place["after"],
                                    dict(place["beside"]),
                                    place["text"],
                                )
                                for place in slot["places"]
                            ),
                        )
                        for name, slot in slots.items()
                    )
                    for suite, slots in suites.items()
                }
            )
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DefaultsError(
                f"{path}: expected a table of injection defaults ({type(error).__name__}: {error})."
                " Hint: see configs/injection_defaults/README.md for its form"
            ) from error

    def slots(self, suite: str) -> Sequence[Slot]:
        """The slots of a suite, none where the table does not have it."""
        return self._suites.get(suite, ())

    def restore(self, suite: str, content: str, start: int, end: int) -> RestoredSlot | None:
        """Find the slot that an injection stands in, and what the environment has there.

        Args:
            suite: The suite of the task.
            content: The tool result.
            start: First code point of the injection.
            end: Behind its last.

        Returns:
            The slot, or None where none fits, several fit, or its own text cannot be written there
            so that a reader of the result gets exactly the environment's text.
        """
        slots = self.slots(suite)
        if not slots:
            return None
        scalar = read_scalar(content, start, end)
        found = {
            (slot.name, place.text)
            for slot in slots
            for place in slot.places
            if _fits(place, scalar)
        }
        if len(found) != 1:
            return None
        [(name, text)] = found
        left, right = slot_span(content, start, end, scalar)
        line = content[content.rfind("\n", 0, start) + 1 : start]
        indent = line[: len(line) - len(line.lstrip())]
        if scalar.style in ("plain", "single_quoted") and line.strip():
            indent += "  "  # behind its key
        printed = written(text, scalar, indent)
        quoted = scalar.style == "plain" and scalar.is_whole
        restored = content[:left] + printed + content[right:]
        if not _reads_as(restored, left + quoted, text, scalar):
            return None
        return RestoredSlot(name, left, right, printed)


def _fits(place: Place, scalar: Scalar) -> bool:
    """Whether a place is the one that an injection was found in: the same text on both sides, white
    space apart, which printers fold; where one side has none, it must have none here either. Fields
    beside it that both know must agree.
    """
    if not _ends_with(scalar.before, place.before) or not _starts_with(scalar.after, place.after):
        return False
    shared = place.beside.keys() & scalar.beside.keys()
    if any(place.beside[key] != scalar.beside[key] for key in shared):
        return False
    return bool(place.before or place.after or shared)


def _ends_with(text: str, end: str) -> bool:
    return _squeezed(text).endswith(_squeezed(end)) if end else not text.strip()


def _starts_with(text: str, start: str) -> bool:
    return _squeezed(text).startswith(_squeezed(start)) if start else not text.strip()


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _reads_as(content: str, start: int, text: str, scalar: Scalar) -> bool:
    """Whether a restored result, in whose string the text begins at ``start``, reads as the same
    object with the text in it. White space at the ends does not count: YAML may leave it out.
    """
    again = read_scalar(content, start, start)
    wanted = text + scalar.after.lstrip()
    return (
        again.before.rstrip() == scalar.before.rstrip()
        and again.after.strip() == wanted.strip()
        and again.beside == scalar.beside
    )
