"""Full-text search, filters, and what one takes away of what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.pages import Open, Watched, build
from tests.records import Corpus, make_mask, make_render, make_trace, message

pytestmark = pytest.mark.browser


def search(watched: Watched, words: str) -> str:
    watched.page.fill("#search", words)
    watched.wait_for_record()
    return watched.page.inner_text("#count")


def mixed_corpus() -> Corpus:
    """Four traces that differ in suite, model, defense, attack, split and cut; a name stands in the
    middle of the second one's tool result alone.
    """
    corpus = Corpus(pairs=0, validation_pairs=0)
    for number in range(4):
        result = "nothing new" if number != 1 else "a letter of Emma  Johnson (b.c+d) to nobody"
        turns = [
            message("system", "You call tools ."),
            message("user", f"read my mail {number}"),
            message("tool", result),
            message("assistant", "done ."),
        ]
        trace = make_trace(turns, split=("train", "validation")[number % 2], salt=number)
        trace["source"] |= {
            "subset": ("workspace", "banking")[number // 2],
            "model_id": ("gpt-4o", "command-r")[number % 2],
            "defense": ("tool_filter", None)[number == 0],
        }
        trace["labels"] |= {
            "attack_type": ("important_instructions", None)[number > 1],
            "attack_present": number < 3,
        }
        corpus.traces.append(trace)
        render = make_render(trace, corpus.vocabulary)
        if number == 3:
            render["render_options"] |= {"truncated": True, "truncation_side": "right"}
        corpus.renders.append(render)
        corpus.masks.append(make_mask(trace, render))
    return corpus


FOUND = {
    "emma johnson": 1,
    "JOHNSON (b.c+d)": 1,
    "letter\tof": 1,
    "j.hnson": 0,
    "workspace": 2,
    "gpt-4o": 2,
    "tool_filter": 3,
    "important_instr": 2,
    "validation": 2,
    "cut at the end": 1,
    "You call tools": 4,
    "(": 1,
    "\\": 0,
    "   ": 4,
}


def test_everything_that_is_known_of_a_trace_is_searched(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(build(mixed_corpus(), tmp_path))
    told = {words: search(watched, words) for words in FOUND}
    assert told == {words: f"{found} of 4 traces" for words, found in FOUND.items()}
    watched.check_quiet()


def test_the_record_opens_at_what_was_found(tmp_path: Path, open_page: Open) -> None:
    corpus = mixed_corpus()
    corpus.traces[1]["messages"][0]["content"] = "a long system message " * 400
    corpus.renders[1] = make_render(corpus.traces[1], corpus.vocabulary)
    corpus.masks[1] = make_mask(corpus.traces[1], corpus.renders[1])
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    search(watched, "emma johnson")
    marked = page.locator("#record .t.found")
    assert "".join(marked.all_text_contents()) == " Emma  Johnson"
    # Marks of a token leave it in its line.
    shown = "nodes => nodes.map((node) => getComputedStyle(node).display)"
    assert set(page.eval_on_selector_all("#record .t", shown)) == {"inline"}
    assert page.inner_text("#next-hit") == "Next of 1 found"
    box, place = page.locator("#record").bounding_box(), marked.first.bounding_box()
    assert box["y"] <= place["y"] <= box["y"] + box["height"]
    search(watched, "")
    assert page.locator(".t.found:visible").count() == 0
    assert not page.is_visible("#next-hit")


def test_there_is_a_filter_for_what_differs(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(build(mixed_corpus(), tmp_path))
    page = watched.page
    expected = {
        "suite": {"workspace (2)": 2, "banking (2)": 2},
        "model": {"gpt-4o (2)": 2, "command-r (2)": 2},
        "defense": {"none (1)": 1, "tool_filter (3)": 3},
        "attack": {"important_instructions (2)": 2, "not named (1)": 1, "none (1)": 1},
        "split": {"train (2)": 2, "validation (2)": 2},
        "cut": {"whole (3)": 3, "cut at the end (1)": 1},
    }
    # One data set, category, class and outcome: nothing to choose.
    shown = page.eval_on_selector_all("#filters select", "nodes => nodes.map((node) => node.id)")
    assert set(shown) == {f"filter-{name}" for name in expected}
    for name, values in expected.items():
        for title, number in values.items():
            page.select_option(f"#filter-{name}", label=title)
            assert page.inner_text("#count") == f"{number} of 4 traces"
        page.select_option(f"#filter-{name}", "")
    page.select_option("#filter-suite", "workspace")
    page.select_option("#filter-model", "command-r")
    assert page.inner_text("#count") == "1 of 4 traces"
    assert page.inner_text("#filter-count") == "(2 set)"
    assert search(watched, "read my mail 3") == "0 of 4 traces"


def test_ids_of_what_matches_or_was_picked_are_saved(tmp_path: Path, open_page: Open) -> None:
    corpus = mixed_corpus()
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    ids = [trace["id"] for trace in corpus.traces]

    def saved() -> list[str]:
        with page.expect_download() as download:
            page.click("#save")
        assert download.value.suggested_filename == "trace_ids.txt"
        return Path(download.value.path()).read_text().splitlines()

    page.select_option("#filter-suite", "banking")
    assert page.inner_text("#save") == "Save 2 ids" and saved() == ids[2:]
    page.click("#pick")
    assert page.get_attribute("#pick", "aria-pressed") == "true"
    page.select_option("#filter-suite", "")
    watched.wait_for_record()
    page.focus("#list")
    page.keyboard.press("x")
    assert page.inner_text("#save") == "Save 2 picked ids"
    assert saved() == [ids[0], ids[2]]
    page.keyboard.press("x")
    page.click("#unpick")
    assert page.inner_text("#save") == "Save 4 ids" and not page.is_visible("#unpick")
    assert page.get_attribute("#pick", "aria-pressed") == "false"


def test_a_search_in_a_sample_says_what_it_is(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=40, validation_pairs=0)
    watched = open_page(build(corpus, tmp_path, token_budget=400))
    shown = len(watched.page.evaluate("INDEX.traces.id"))
    hidden = set(watched.page.evaluate("INDEX.traces.id"))
    other = next(trace["id"] for trace in corpus.traces if trace["id"] not in hidden)
    assert search(watched, other) == f"0 of {shown} traces"
    told = watched.page.inner_text("#record")
    assert f"holds {shown} of 80 traces" in told and "show.py" in told


def test_characters_of_several_tokens_are_found_and_shown(tmp_path: Path, open_page: Open) -> None:
    page = open_page(build(Corpus(pairs=1), tmp_path)).page
    table = '{"0": [240, 159], "1": [152, 128], "2": "x", "3": [228], "4": []}'
    read = f"readTokens({table}, [2, 0, 1, 2, 3, 4, 0, 1, 1])"
    assert page.evaluate(read) == ["x", "", "😀", "x", "\ufffd", None, "", "😀", "\ufffd\ufffd"]
    found = f"findTokens({read}, searchPattern('😀'))"
    assert page.evaluate(found) == [[2, 3], [7, 8]]
