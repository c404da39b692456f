"""What the environment has in an injected place: found by what is around it, or not at all."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from cbdata.decision_points.defaults import DefaultsError, InjectionDefaults
from tests.unit.decision_points.runs import ATTACK, BILL, tables


def place(text: str, before: str = "", after: str = "", **beside: str) -> dict[str, Any]:
    return {"before": before, "after": after, "beside": beside, "text": text}


def load(folder: Path, **slots: list[dict[str, Any]]) -> InjectionDefaults:
    path = folder / "table.json"
    table = {"suites": {"s": {name: {"places": places} for name, places in slots.items()}}}
    path.write_bytes(orjson.dumps(table))
    return InjectionDefaults.load(path)


def restored(defaults: InjectionDefaults, content: str, suite: str = "s") -> str | None:
    """The content with the environment's own text in the injected place, None where not known."""
    start = content.index(ATTACK) if ATTACK in content else content.index("<INFORMATION>")
    end = content.index("</INFORMATION>") + len("</INFORMATION>")
    slot = defaults.restore(suite, content, start, end)
    return slot and content[: slot.start] + slot.default_text + content[slot.end :]


def test_the_slot_takes_in_the_white_space_of_the_attack(tmp_path: Path) -> None:
    defaults = InjectionDefaults.load(tables(tmp_path)[1])
    assert restored(defaults, f"Bill\n\n{ATTACK}\n\nThank you\n", "bank") == BILL
    slot = defaults.restore("bank", f"Bill\n\n{ATTACK}\n\nThank you\n", 6, 6 + len(ATTACK))
    assert slot and (slot.slot, slot.start, slot.end) == ("bill_note", 4, 8 + len(ATTACK))


def test_a_whole_field_is_known_by_what_names_its_object(tmp_path: Path) -> None:
    defaults = load(
        tmp_path,
        first=[place("Sushi dinner", id="5")],
        second=[place('It\'s a "book"', id="6", title="Reading")],
    )
    rows = [{"id": 4, "body": "rent"}, {"id": 6, "body": f"\n\n{ATTACK}\n\n", "title": "Reading"}]
    for content, read in (
        (yaml.safe_dump(rows), yaml.safe_load),
        (str(rows), ast.literal_eval),
        (orjson.dumps(rows).decode(), orjson.loads),
    ):
        found = restored(defaults, content)
        assert found is not None
        assert read(found) == [rows[0], {**rows[1], "body": 'It\'s a "book"'}]
    rows[1]["id"] = 5
    assert restored(defaults, yaml.safe_dump(rows)) == yaml.safe_dump(
        [rows[0], {**rows[1], "body": "Sushi dinner"}], width=1000
    ).replace("Sushi dinner", "'Sushi dinner'")
    rows[1]["id"] = 7
    assert restored(defaults, yaml.safe_dump(rows)) is None


@pytest.mark.parametrize(
    "places",
    [
        [place("x", before="another")],
        [place("x", after="another")],
        [place("x", before="Bill", after="Thank you", id="5"), place("y", before="ill")],
        [place("x")],
        [],
    ],
    ids=["another before", "another after", "two texts fit", "nothing around it", "no place"],
)
def test_a_place_that_does_not_fit_alone_is_not_known(
    tmp_path: Path, places: list[dict[str, Any]]
) -> None:
    content = f"Bill\n\n{ATTACK}\n\nThank you\n"
    if len(places) == 2:
        content = yaml.safe_dump({"id": 5, "text": content})
        places[1]["after"] = "Thank you"
    assert restored(load(tmp_path, slot=places), content) is None


def test_an_empty_side_must_be_empty_in_the_result_too(tmp_path: Path) -> None:
    defaults = load(tmp_path, slot=[place("!", before="Bill")])
    assert restored(defaults, f"Bill\n\n{ATTACK}\n\n") == "Bill!"
    assert restored(defaults, f"Bill\n\n{ATTACK}\n\nThank you\n") is None


def test_an_unknown_suite_has_no_slots(tmp_path: Path) -> None:
    defaults = load(tmp_path, slot=[place("!", before="Bill")])
    assert restored(defaults, f"Bill {ATTACK}", "other") is None
    assert defaults.slots("other") == ()


ROW = "- id: 6\n  body: <INFORMATION>x</INFORMATION>\n  title: t\n- id: 7"
BLOCK = "a: |\n  Bill\n  <INFORMATION>x</INFORMATION>\n  Bye\nb: 1\n"


@pytest.mark.parametrize(
    ("content", "where", "text", "reads_as"),
    [
        (ROW, {"id": "6"}, "Click: http://x", [{"id": 6, "body": "Click: http://x", "title": "t"}]),
        (ROW, {"id": "6"}, "it's", [{"id": 6, "body": "it's", "title": "t"}]),
        (ROW, {"id": "6"}, "", [{"id": 6, "body": "", "title": "t"}]),
        (ROW, {"id": "6"}, "true", [{"id": 6, "body": "true", "title": "t"}]),
        (ROW, {"id": "6"}, "a\n\nb", [{"id": 6, "body": "a\n\nb", "title": "t"}]),
        ("- Bill <INFORMATION>x</INFORMATION>\n- other", {"before": "Bill"}, " ok", "Bill ok"),
        (
            "- Bill <INFORMATION>x</INFORMATION> Bye\n- other",
            {"before": "Bill", "after": "Bye"},
            " and\n",
            "Bill and\nBye",
        ),
        (BLOCK, {"before": "Bill", "after": "Bye"}, "\n1\n2\n", {"a": "Bill\n1\n2\nBye\n", "b": 1}),
        (BLOCK, {"before": "Bill", "after": "Bye"}, "\n", {"a": "Bill\nBye\n", "b": 1}),
    ],
)
def test_a_string_without_quotes_reads_as_the_environment_s_text(
    tmp_path: Path, content: str, where: dict[str, str], text: str, reads_as: Any
) -> None:
    found = restored(load(tmp_path, slot=[place(text, **where)]), content)
    assert found is not None
    read = yaml.safe_load(found)
    assert (read[: len(reads_as)] if isinstance(reads_as, list) else read) == (
        [reads_as, "other"] if isinstance(reads_as, str) else reads_as
    )


def test_a_text_that_would_read_otherwise_is_not_put_there(tmp_path: Path) -> None:
    """A plain YAML string has no place for a colon: nobody would read the environment's text."""
    defaults = load(tmp_path, slot=[place(" a: b", before="Bill")])
    assert restored(defaults, "- Bill <INFORMATION>x</INFORMATION>\n- other") is None
    assert restored(defaults, "- 'Bill <INFORMATION>x</INFORMATION>'\n- other") == (
        "- 'Bill a: b'\n- other"
    )


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"suites": {"s": {"slot": {}}}}'])
def test_a_table_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(DefaultsError, match=r"table\.json.*README"):
        InjectionDefaults.load(path)


def test_agentdojo_s_table_has_every_slot_of_its_suites(repo: Path) -> None:
    path = repo / "configs/injection_defaults/agentdojo_v1.json"
    defaults = InjectionDefaults.load(path)
    # The counts of injection_vectors.yaml in the package.
    suites = {"banking": 4, "slack": 6, "travel": 13, "workspace": 16}
    assert {suite: len(defaults.slots(suite)) for suite in suites} == suites
    nameless = [slot.name for suite in suites for slot in defaults.slots(suite) if not slot.places]
    # The slot is a whole page, so nothing in a tool's result tells it from another.
    assert nameless == ["injection_phishing_1"]
