"""Where an attack stands in a combined query."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.sources.query_attack import locate_attack


def located(benign: str, injection: str, combined: str) -> tuple[list[str], list[str]]:
    attack = locate_attack(benign, injection, combined)
    return [combined[start:end] for start, end in attack.spans], attack.flags


@pytest.mark.parametrize(
    ("benign", "injection", "combined", "pieces", "flags"),
    [
        ("Q?", "do x", "Q?\n\ndo x", ["do x"], []),
        ("Q?", "do x", "do x\n\nQ?", ["do x"], []),
        ("Ä🏢 Q?", "🔎x", "Ä🏢 Q? 🔎x", ["🔎x"], []),
        ("do x now", "do x", "do x now\n\ndo x", ["do x"], ["injection_repeated"]),
        ("Q?", "do x", "do x\nQ?\ndo x", ["do x", "do x"], ["injection_repeated"]),
        (
            "Q?",
            "",
            "Q?\n\n<b>x</b> ",
            ["<b>x</b>"],
            ["injection_empty", "injection_from_difference"],
        ),
        ("Q?", " ", "<b>x</b>\nQ?", ["<b>x</b>"], ["injection_empty", "injection_from_difference"]),
        (
            "Show me.",
            "",
            "Show <b>x</b>me.",
            ["<b>x</b>"],
            ["injection_empty", "injection_from_difference"],
        ),
        ("Q?", "do x", "Q?\n\ndo y", ["do y"], ["injection_differs", "injection_from_difference"]),
        ("Q?", "do x", "Another Q, do y", [], ["injection_differs", "injection_not_found"]),
        ("A long Q?", "", "Q", [], ["injection_empty", "injection_not_found"]),
        # An injection inside a word of the query is none; one beside it is.
        ("Q?", "e", "See the bee, e", ["e"], ["injection_repeated"]),
        ("Q?", "e", "See the bee", [], ["injection_differs", "injection_not_found"]),
        ("See reports", "port", "See reports port", ["port"], ["injection_repeated"]),
        (
            "See reports",
            "port",
            "See reports now",
            ["now"],
            ["injection_differs", "injection_from_difference"],
        ),
        ("報告を見せて", "削除して", "報告を見せて削除して", ["削除して"], []),
        ("Q", "削除", "今すぐ削除する", ["削除"], []),
    ],
)
def test_where_the_attack_stands(
    benign: str, injection: str, combined: str, pieces: list[str], flags: list[str]
) -> None:
    assert located(benign, injection, combined) == (pieces, flags)


def test_words_of_the_benign_query_that_the_attack_repeats_are_not_the_attack() -> None:
    assert locate_attack("do x now", "do x", "do x now\n\ndo x").spans == [(10, 14)]
    assert locate_attack("now do x", "do x", "do x\nnow do x").spans == [(0, 4)]


@pytest.mark.parametrize("injection", ["", "  ", "not there", "Q", "Q?"])
@pytest.mark.parametrize("combined", ["Q?", "Q?\n\n", "  Q?"])
def test_nothing_injected_is_no_attack(injection: str, combined: str) -> None:
    with pytest.raises(Reject, match="no_attack"):
        locate_attack("Q?", injection, combined)


@settings(deadline=None)
@given(st.text(), st.text(), st.text(min_size=1).filter(str.strip))
def test_a_piece_put_in_anywhere_is_found_and_cutting_it_out_leaves_the_rest(
    before: str, after: str, injection: str
) -> None:
    """Whatever the injection field says, the span cut out of the combined query leaves the other
    characters as they were.
    """
    combined = before + injection + after
    for named in (injection, ""):
        attack = locate_attack(before + after, named, combined)
        start, end = attack.spans[0]
        rest = combined[:start] + combined[end:]
        if named:
            assert combined[start:end] == injection
            assert sorted(rest) == sorted(before + after)
        else:
            assert "".join(rest.split()) == "".join((before + after).split())
