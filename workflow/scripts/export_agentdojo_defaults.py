"""Write configs/injection_defaults/agentdojo_v1.json: what AgentDojo's environments have in the
places that attacks write into, and what stands around these places.

Not a script of a rule. It needs the ``agentdojo`` package, whose dependencies do not go together
with the project's, so it runs in an environment of its own and imports little of the project; see
configs/injection_defaults/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cbdata.decision_points.export_table import write_table

CONTEXT = 80
"""Characters kept on either side of a place."""
IDENTITY = ("id", "id_", "name", "title", "subject", "filename")
"""The fields that tell an object of AgentDojo's environments from others of its kind, and that no
task changes while it runs.
"""

Place = dict[str, Any]


def places(marked: Any, clean: Any, mark: str) -> list[Place]:
    """Every place of an environment where a mark stands, with what is around it.

    Args:
        marked: The environment with marks in its slots, as plain objects, lists and scalars.
        clean: The same environment with its own texts there.
        mark: The text that was written into the slot.

    Returns:
        ``before`` and ``after``: the text around the mark in its own string, without white space
        next to the mark, cut to CONTEXT characters. ``text``: what the clean environment has
        between these, white space included. ``beside``: what names the object that holds the
        string. An item of a list of texts is there twice, by itself and joined to its neighbours
        by line breaks, as tools print either. A place with nothing around it is left out: nobody
        could find it.

    Raises:
        ValueError: The clean environment differs by more than the slot.
    """
    found: list[Place] = []
    for place in _walk(marked, clean, mark):
        if place not in found and (place["before"] or place["after"] or place["beside"]):
            found.append(place)
    return found


def _walk(
    marked: Any, clean: Any, mark: str, beside: dict[str, str] | None = None
) -> Iterator[Place]:
    if isinstance(marked, str):
        if mark in marked:
            yield _place(marked, clean, mark, beside or {})
    elif isinstance(marked, dict):
        for key, child in marked.items():
            if key in clean:  # slots stand in keys too, where no tool prints a text of theirs
                yield from _walk(child, clean[key], mark, _beside(marked, key))
    elif isinstance(marked, list):
        for index, (child, other) in enumerate(zip(marked, clean, strict=False)):
            yield from _walk(child, other, mark)
            if isinstance(child, str) and mark in child:
                joined = ["\n".join(map(str, each[: index + 1])) for each in (marked, clean)]
                yield _place(joined[0], joined[1], mark, {})


def _place(marked: str, clean: str, mark: str, beside: dict[str, str]) -> Place:
    before, _, after = marked.partition(mark)
    before, after = before.rstrip(), after.lstrip()
    if not (clean.startswith(before) and clean.endswith(after)):
        raise ValueError(f"{mark}: {clean!r} is not {marked!r} with another text")
    text = clean[len(before) : len(clean) - len(after)]
    return {
        "before": before[-CONTEXT:],
        "after": after[:CONTEXT],
        "beside": beside,
        "text": text,
    }


def _beside(holder: dict[str, Any], key: str) -> dict[str, str]:
    """What tells an object from others of its kind."""
    return {name: str(holder[name]) for name in IDENTITY if name in holder and name != key}


def collect(versions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The places of every suite's slots by name, those of all benchmark versions.

    Args:
        versions: Versions of AgentDojo's suites.
    """
    from agentdojo.task_suite.load_suites import get_suites

    suites: dict[str, dict[str, Any]] = {}
    for each in versions:
        for suite_name, suite in sorted(get_suites(each).items()):
            slots = suites.setdefault(suite_name, {})
            marks = {slot: f"[[{slot}]]" for slot in suite.get_injection_vector_defaults()}
            marked = suite.load_and_inject_default_environment(marks).model_dump(mode="json")
            clean = suite.load_and_inject_default_environment({}).model_dump(mode="json")
            for slot, mark in marks.items():
                entry = slots.setdefault(slot, {"places": []})
                # A text as the environment has it, not as its file escapes it.
                for place in places(marked, clean, mark):
                    if place not in entry["places"]:
                        entry["places"].append(place)
    return suites


def merged(suites: dict[str, Any], reviewed: dict[str, Any]) -> dict[str, Any]:
    """Add the places that a person found to those of the package.

    Args:
        suites: Slots by suite and name.
        reviewed: ``why`` and ``places`` by suite and name.

    Raises:
        ValueError: An entry is for no slot, is there already, or does not say why.
    """
    for suite, slots in reviewed.items():
        for slot, entry in slots.items():
            known = suites.get(suite, {}).get(slot)
            if known is None or not entry.get("why") or entry["places"][0] in known["places"]:
                raise ValueError(f"{suite}/{slot}: no slot, known already, or without a reason")
            known["places"] += entry["places"]
    return suites


def main() -> None:
    """Write the table."""
    write_table(__file__, __doc__, "configs/injection_defaults", "suites", collect, merged)


if __name__ == "__main__":
    main()
