"""The viewer in light and dark, on a narrow window and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.pages import Open, build
from tests.browser.test_looks import CONTRAST
from tests.browser.test_panes import long_corpus
from tests.records import Corpus

pytestmark = pytest.mark.browser

WORDS = (
    ".headline, .headline span, .t, .pick, #count, .viewer button, .viewer label, .viewer summary"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_stand_out_from_their_ground(tmp_path: Path, open_page: Open, scheme: str) -> None:
    watched = open_page(build(Corpus(pairs=2), tmp_path), scheme=scheme)
    page = watched.page
    page.check("#unfold")
    page.select_option("#compare", "twin")
    page.fill("#search", "planet 1")
    watched.wait_for_record()
    page.click("#pick")
    page.locator("#save:enabled").wait_for()
    words = page.evaluate(CONTRAST, WORDS)
    assert any("picked" in text for text, _ in words)
    disabled = set(page.locator("button:disabled").all_text_contents())
    pale = [(text, ratio) for text, ratio in words if ratio < 4.5 and text not in disabled]
    assert pale == []


@pytest.mark.parametrize("width", [400, 860, 1300])
def test_two_panes_fit_every_window(tmp_path: Path, open_page: Open, width: int) -> None:
    corpus = Corpus(pairs=2)
    link = f"#trace={corpus.traces[0]['id']}&beside=twin"
    page = open_page(build(corpus, tmp_path), width=width, link=link).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (page.locator(pane).bounding_box() for pane in ("#record", "#beside"))
    assert min(left["height"], right["height"]) >= 150
    if width > 860:
        assert left["y"] == right["y"] and left["x"] < right["x"]
    else:
        assert left["x"] == right["x"] and left["y"] + left["height"] <= right["y"] + 1
    # Filters fold away where there is little room.
    assert page.is_visible("#filter-category") == (width > 860)


def test_on_paper_there_is_the_whole_record_and_no_control(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(build(long_corpus(), tmp_path), scheme="dark")
    page = watched.page
    page.emulate_media(media="print", color_scheme="dark")
    assert not any(map(page.is_visible, (".browser", ".toolbar", "#token", "nav")))
    sizes = "(node) => [node.scrollHeight - node.clientHeight, getComputedStyle(node).overflowY]"
    for pane in ("#record", ".reader", ".viewer"):
        assert page.eval_on_selector(pane, sizes) == [0, "visible"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(251, 251, 249)"
