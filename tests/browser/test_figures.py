"""Figures in a browser: whole on a narrow window and on paper, legible, one colour a meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.lossmask.registry import load_registry
from cbdata.mwcs.schedule import load_schedule
from cbdata.report.build import build_report
from cbdata.report.inputs import ReportInputs
from tests.browser.pages import Open
from tests.records import Corpus

pytestmark = pytest.mark.browser

LONG = "漢字とかな 🙂 a_name/of.many-parts " + "x" * 120

# The boxes of the text of every cell and bar, and what lies over what in a row.
OVERLAPS = """() => {
  const box = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return node.localName === "svg" ? node.getBoundingClientRect() : range.getBoundingClientRect();
  };
  const found = [];
  for (const row of document.querySelectorAll(".scroll tr")) {
    const cells = [...row.querySelectorAll("th, td:not(.drawn), .drawn svg")]
      .filter((node) => node.getClientRects().length && node.textContent !== "" || node.localName === "svg")
      .map((node) => [node.textContent.trim().slice(0, 20) || node.localName, box(node)]);
    for (const [i, [first, a]] of cells.entries())
      for (const [second, b] of cells.slice(i + 1))
        if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
          found.push([first, second]);
  }
  return found;
}"""  # noqa: E501 - embedded text
# Text that ends outside its figure, and figures that must be scrolled sideways.
CLIPPED = """() => [...document.querySelectorAll("figure")].flatMap((figure) => {
  const edge = figure.getBoundingClientRect();
  return [...figure.querySelectorAll("h3, figcaption, li, th, td, svg, .scroll")].filter((node) => {
    const own = node.getBoundingClientRect();
    return own.width && (own.left < edge.left || own.right > edge.right + 0.5 || node.scrollWidth > node.clientWidth + 1 && node.matches(".scroll"));
  }).map((node) => node.textContent.trim().slice(0, 40));
})"""  # noqa: E501 - embedded text
SIZES = """() => [...new Set([...document.querySelectorAll("figure *")]
  .filter((node) => node.textContent.trim())
  .map((node) => parseFloat(getComputedStyle(node).fontSize)))]"""
FILLS = """() => Object.fromEntries([...document.querySelectorAll("rect[class^=of-]")]
  .map((node) => [node.getAttribute("class") + " " + getComputedStyle(node).fill, true]))"""


@pytest.fixture
def built(tmp_path: Path, repo: Path) -> Path:
    """A page with every figure that needs no generation, and labels of every length."""
    corpus = Corpus(pairs=3)
    for number, trace in enumerate(corpus.traces):
        trace["source"] |= {"model_id": LONG if number % 2 else "short", "defense": None}
        trace["task"]["family"] = LONG if number % 3 else "suite"
        trace["training"]["mixture"]["class_id"] = corpus.masks[number]["class_id"] = (
            f"{LONG}{number}" if number > 1 else f"demo/{number}"
        )
    corpus.write(tmp_path)
    schedule = tmp_path / "schedule.yaml"
    schedule.write_text(
        "curriculum: {type: step, phases: ["
        "{name: a, start_step: 0, end_step: 9, class_weights: {demo/0: 1.0}},"
        "{name: b, start_step: 9, end_step: 99, class_weights: {demo/0: 2.0}}]}",
        encoding="utf-8",
    )
    load_schedule(schedule)
    build_report(
        ReportInputs((corpus.dataset(),), tokenizer=corpus.tokenizer, schedule=schedule, step=5),
        load_registry(),
        tmp_path / "index.html",
    )
    return tmp_path / "index.html"


def keys(page: Any) -> int:
    return int(page.locator("figure").count())


@pytest.mark.parametrize("width", [400, 700, 1300, 1800])
def test_figures_are_whole_at_any_width(built: Path, open_page: Open, width: int) -> None:
    page = open_page(built, width=width).page
    assert keys(page) >= 14
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(OVERLAPS) == []
    assert min(page.evaluate(SIZES)) >= 12


def test_figures_are_whole_on_paper(built: Path, open_page: Open) -> None:
    page = open_page(built, width=700, scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(OVERLAPS) == []
    paper = page.evaluate(FILLS)
    page.emulate_media(media="screen", color_scheme="light")
    assert page.evaluate(FILLS) == paper


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_thing_has_one_colour_and_that_colour_no_other(
    built: Path, open_page: Open, scheme: str
) -> None:
    found = list(open_page(built, scheme=scheme).page.evaluate(FILLS))
    names = [pair.split(" ", 1)[0] for pair in found]
    fills = [pair.split(" ", 1)[1] for pair in found]
    assert {"of-ds", "of-dr", "of-neutral", "of-rest"} <= set(names)
    assert len(names) == len(set(names)) and len(fills) == len(set(fills))


def test_labels_are_shown_as_characters(built: Path, open_page: Open) -> None:
    page = open_page(built).page
    assert page.locator("figure th", has_text="漢字とかな 🙂").count() >= 3


def test_every_figure_and_every_bar_can_be_read(built: Path, open_page: Open) -> None:
    page = open_page(built).page
    unnamed = page.eval_on_selector_all(
        "figure, figure [tabindex]",
        "nodes => nodes.filter((node) => !document.getElementById(node.getAttribute("
        "'aria-labelledby'))?.textContent.trim()).length",
    )
    assert unnamed == 0
    # What a bar shows stands in numbers beside it, so it is hidden from readers of the screen.
    assert page.locator("figure svg:not([aria-hidden=true])").count() == 0
    assert page.locator(".chart tbody tr:not(:has(.number))").count() == 0
