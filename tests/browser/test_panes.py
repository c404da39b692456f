"""Two masks of a trace, or two twins, beside each other, without losing the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import Open, build
from tests.records import Corpus, make_mask, make_render

pytestmark = pytest.mark.browser

TOP = """(pane) => {
  const box = document.querySelector(pane).getBoundingClientRect();
  const spans = [...document.querySelectorAll(pane + " .t")];
  return Number(spans.find((span) => span.getBoundingClientRect().bottom > box.top + 40).dataset.i);
}"""


def long_corpus() -> Corpus:
    """Twins whose system message fills several screens."""
    corpus = Corpus(pairs=2, validation_pairs=0)
    for trace in corpus.traces:
        trace["messages"][0]["content"] = "a long system message " * 600
    corpus.renders = [make_render(trace, corpus.vocabulary) for trace in corpus.traces]
    corpus.masks = [make_mask(*pair) for pair in zip(corpus.traces, corpus.renders, strict=True)]
    return corpus


def trained(page: Any, pane: str) -> list[int]:
    return page.eval_on_selector_all(
        f"{pane} .t",
        "nodes => nodes.filter((node) => /\\bw\\d+\\b/.test(node.className))"
        ".map((node) => Number(node.dataset.i))",
    )


def test_two_masks_of_one_trace(tmp_path: Path, open_page: Open) -> None:
    corpus = long_corpus()
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    page.check("#unfold")
    page.select_option("#compare", "policy tool_calls_only")
    watched.wait_for_record()
    alignment = corpus.renders[0]["alignment"]
    for pane, key in (("#record", "assistant_spans"), ("#beside", "tool_call_spans")):
        spans = alignment[key]
        assert trained(page, pane) == [
            position for span in spans for position in range(span["token_start"], span["token_end"])
        ]
    left, right = (page.locator(pane).bounding_box() for pane in ("#record", "#beside"))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"] + 1
    for moved, height in (("record", 900), ("beside", 1500)):
        page.evaluate(f"byId('{moved}').scrollTop = {height}")
        watched.wait_until(f"({TOP})('#record') === ({TOP})('#beside')")
        assert page.evaluate(f"byId('{moved}').scrollTop") == height
    page.click("#next")
    watched.wait_for_record()
    assert "tool_calls_only" in page.inner_text("#beside .headline")
    page.select_option("#compare", "")
    watched.wait_for_record()
    assert not page.is_visible("#beside")
    watched.check_quiet()


def test_twins_beside_each_other(tmp_path: Path, open_page: Open) -> None:
    corpus = long_corpus()
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    page.select_option("#compare", "twin")
    watched.wait_for_record()
    assert "harmful" in page.inner_text("#record .headline")
    assert "benign" in page.inner_text("#beside .headline")
    assert corpus.traces[1]["id"] in page.inner_text("#beside .about")
    page.evaluate("byId('record').scrollTop = 2000")
    watched.wait_until("byId('beside').scrollTop > 1000")
    # The second pane follows with the browser's next scroll event, so both are read at one time.
    watched.wait_until(f"({TOP})('#record') === ({TOP})('#beside')")
    assert page.evaluate(TOP, "#record") > 500
    corpus.traces[0]["links"]["paired_trace_id"] = None
    alone = open_page(build(corpus, tmp_path / "alone")).page
    alone.select_option("#compare", "twin")
    assert not alone.is_visible("#beside")
    assert "it has none" in alone.inner_text("#compare")


@pytest.mark.parametrize("change", ["policy", "twin", "key", "unfold", "compare"])
def test_the_place_is_kept(tmp_path: Path, open_page: Open, change: str) -> None:
    watched = open_page(build(long_corpus(), tmp_path))
    page = watched.page
    page.evaluate("byId('record').scrollTop = 1500")
    before = page.evaluate(TOP, "#record")
    assert before > 200
    if change == "policy":
        page.select_option("#policy", "policy full_sequence")
    elif change == "twin":
        page.click("#twin")
    elif change == "key":
        page.keyboard.press("t")
    elif change == "unfold":
        page.check("#unfold")
    else:
        page.select_option("#compare", "twin")
    watched.wait_for_record()
    # Where the width changes, as many words as a line has may stand before it.
    slack = 15 if change == "compare" else 0
    assert page.evaluate(TOP, "#record") == pytest.approx(before, abs=slack)
    if change in ("twin", "key"):
        assert "benign" in page.inner_text("#record .headline")
