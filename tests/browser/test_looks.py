"""Readable in light and dark and on a narrow window; every control has a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.pages import Open, build
from tests.records import Corpus

pytestmark = pytest.mark.browser

CONTRAST = """(selector) => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => top.length < 4 ? top : top.slice(0, 3).map((value, i) => value * top[3] + under[i] * (1 - top[3]));
  const luminance = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  return [...document.querySelectorAll(selector)].map((node) => {
    const layers = [];
    for (let up = node; up; up = up.parentElement) layers.push(parse(getComputedStyle(up).backgroundColor));
    let ground = [255, 255, 255];
    for (const layer of layers.reverse()) ground = over(layer, ground);
    const style = getComputedStyle(node);
    const ink = parse(node.closest("svg") ? style.fill : style.color);
    const [dark, light] = [luminance(ground), luminance(ink)].sort((a, b) => a - b);
    return [node.textContent.trim().slice(0, 40), (light + 0.05) / (dark + 0.05)];
  });
}"""  # noqa: E501 - embedded text
READ = (
    "h1, h2, h3, h4, p, figcaption, summary, td, th, .keys li, .tile-name, .tile-value, .row"
    " span, dt, dd, .t, button, label, option, #token"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(tmp_path: Path, open_page: Open, scheme: str) -> None:
    page = open_page(build(Corpus(pairs=3), tmp_path), scheme=scheme).page
    page.check("#unfold")
    pale = [(text, round(ratio, 2)) for text, ratio in page.evaluate(CONTRAST, READ) if ratio < 4.5]
    assert pale == []


@pytest.mark.parametrize("width", [360, 700, 1300])
def test_no_width_needs_sideways_scrolling(tmp_path: Path, open_page: Open, width: int) -> None:
    page = open_page(build(Corpus(pairs=3), tmp_path), width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#record").bounding_box()["width"] >= min(width, 860) - 80 or width > 860


def test_controls_have_names(tmp_path: Path, open_page: Open) -> None:
    page = open_page(build(Corpus(pairs=2), tmp_path)).page
    controls = "button, select, input, [role=listbox], [role=tablist]"
    named = (
        "nodes => nodes.map((node) => [node.id, Boolean(node.textContent.trim() ||"
        " node.getAttribute('aria-label') || node.closest('label'))])"
    )
    unnamed = [
        name for name, has_name in page.eval_on_selector_all(controls, named) if not has_name
    ]
    assert unnamed == []
