"""A text cut into runs, each with the message and call that it was printed for."""

from __future__ import annotations

from cbdata.render.runs import collect, flatten
from cbdata.render.traced_text import Origin, Part, TracedText, traced, with_parts


def mark(kind: str, message: int, call: int = -1) -> TracedText:
    return with_parts("", (Part(0, 0, Origin(kind, message, call)),))


def runs(*chunks: str) -> list[tuple[str, str, tuple[int, int]]]:
    text, parts = collect(chunks)
    return [(run.kind, text[run.start : run.end], run.scope) for run in flatten(parts, len(text))]


def test_text_between_marks_belongs_to_the_innermost_call() -> None:
    assert runs(
        "^",
        mark("visit_start", 0),
        "<",
        traced("hi", Origin("content", 0)),
        mark("visit_start", 0, 1),
        "(",
        mark("visit_end", 0, 1),
        ">",
        mark("visit_end", 0),
        "$",
    ) == [
        ("literal", "^", (-1, -1)),
        ("literal", "<", (0, -1)),
        ("content", "hi", (0, -1)),
        ("literal", "(", (0, 1)),
        ("literal", ">", (0, -1)),
        ("literal", "$", (-1, -1)),
    ]


def test_a_look_back_at_an_earlier_message_is_the_later_one_s() -> None:
    assert runs(
        mark("visit_start", 3),
        mark("visit_start", 1),
        mark("visit_start", 1, 0),
        traced("name", Origin("name", 1, 0)),
        mark("visit_end", 1, 0),
        mark("visit_end", 1),
        ":",
        mark("visit_end", 3),
    ) == [("name", "name", (3, -1)), ("literal", ":", (3, -1))]


def test_kept_text_says_what_it_was_made_for() -> None:
    kept = with_parts("[x]", (Part(0, 3, Origin("literal", 2, 0)),))
    assert runs("a", kept) == [("literal", "a", (-1, -1)), ("literal", "[x]", (2, 0))]


def test_visits_that_print_nothing_leave_no_part() -> None:
    _, parts = collect([mark("visit_start", 0), mark("visit_end", 0), "x"])
    assert parts == []
