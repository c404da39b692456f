"""Links to one place of the page, as others write them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.browser.pages import Open, build
from tests.browser.test_hostile import PAYLOADS
from tests.records import Corpus

pytestmark = pytest.mark.browser


def test_a_link_opens_a_trace_under_a_policy(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=3)
    path = build(corpus, tmp_path)
    wanted = corpus.traces[5]
    watched = open_page(path, link=f"#trace={wanted['id']}&policy=tool_calls_only&beside=twin")
    page = watched.page
    assert wanted["id"] in page.inner_text("#record .about")
    assert "tool_calls_only" in page.inner_text("#record .headline")
    assert wanted["links"]["paired_trace_id"] in page.inner_text("#beside .about")
    assert page.locator("#list .row[aria-selected=true]").get_attribute("id") == "row-5"
    assert page.locator("#viewer").bounding_box()["y"] < 900
    # The address follows, so that it can be passed on.
    page.click("#previous")
    watched.wait_for_record()
    link = page.evaluate("location.hash")
    assert f"trace={corpus.traces[4]['id']}" in link and "beside=twin" in link
    again = open_page(path, link=link)
    assert corpus.traces[4]["id"] in again.page.inner_text("#record .about")
    assert "tool_calls_only" in again.page.inner_text("#record .headline")
    page.evaluate("(link) => { location.hash = link }", f"#trace={wanted['id']}")
    watched.wait_until(f"byId('record').textContent.includes('{wanted['id']}')")
    watched.check_quiet()


def test_the_address_is_left_alone_until_one_goes_on(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(build(Corpus(pairs=2), tmp_path), link="#funnel")
    assert watched.page.evaluate("location.hash") == "#funnel"


def test_a_hostile_link_is_text(tmp_path: Path, open_page: Open) -> None:
    path = build(Corpus(pairs=1), tmp_path)
    script = quote(PAYLOADS["end of script"])
    watched = open_page(path, link=f"#trace={script}&policy={script}")
    page = watched.page
    assert "alert('out')" in page.inner_text("#notice")
    for text in PAYLOADS.values():
        part = quote(text)
        for link in (f"trace={part}&policy={part}&beside={part}&part={part}", part, text):
            page.evaluate("byId('notice').textContent = ''")
            page.evaluate("(link) => { location.hash = link }", link)
            if link.startswith("trace="):
                watched.wait_until("byId('notice').textContent !== ''")
            watched.wait_for_record()
            assert page.locator("#notice *").count() == 0
            assert page.locator("#record .t").count() > 0
    assert page.title() == "Circuit-breaker training data"
    watched.check_quiet()


def test_names_that_objects_have_are_no_traces_and_no_masks(
    tmp_path: Path, open_page: Open
) -> None:
    corpus = Corpus(pairs=1)
    path, first = build(corpus, tmp_path), corpus.traces[0]["id"]
    watched = open_page(path, link=f"#trace={first}&policy=__proto__&beside=__proto__&part=x")
    page = watched.page
    for name in ("__proto__", "constructor", "%E0%A4%A", ""):
        link = f"trace={first}&policy={name}&beside={name}&part={name}"
        page.evaluate("(link) => { byId('notice').textContent = '?'; location.hash = link }", link)
        watched.wait_until("byId('notice').textContent !== '?'")
        watched.wait_for_record()
        assert first in page.inner_text("#record .about")
        assert not page.is_visible("#beside")
        assert bool(page.inner_text("#notice")) == bool(name)
    page.evaluate("location.hash = 'trace=__proto__'")
    watched.wait_until("byId('notice').textContent.includes('no trace __proto__')")
    watched.check_quiet()
