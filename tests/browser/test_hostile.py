"""The page over rows of attack text: nothing runs, nothing is fetched, the text shows as text."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.browser.pages import Open, build
from tests.records import Corpus, call, make_mask, make_render, make_trace, message, write_jsonl

pytestmark = pytest.mark.browser

PAYLOADS = {
    "script": "<script>document.title='PWNED'; alert(1)</script>",
    "end of script": "</script><script>alert('out')</script>",
    "end of style and template": "</style></template></textarea></title><script>alert(2)</script>",
    "event handlers": (
        "<img src=x onerror=\"alert(3)\"><svg/onload=alert(4)><body onload='alert(5)'>"
    ),
    "links": (
        '<a href="javascript:alert(6)" autofocus onfocus=alert(7)>x</a> [md](javascript:alert(8))'
        " javascript:alert(9)"
    ),
    "fetching": (
        "<img src='http://127.0.0.1:9/beacon'><link rel=stylesheet href=//127.0.0.1:9/x.css><iframe"
        " src='http://127.0.0.1:9/'></iframe>"
    ),
    "template engines": "{{ 7*7 }} ${7*7} {% raw %} <%= 7*7 %> %s {0}",
    "comment and cdata": "<!-- <![CDATA[ ]]> --> <!--<script>",
    "quotes": "\"'`&quot;&#x3C;script&#x3E;alert(10)&lt;/script&gt;",
    "control characters": "nul\x00bell\x07esc\x1b[31m del\x7f c1\x9b end",
    "bidi marks": "user \u202e// txet desrever\u202c \u2066isolate\u2069 \u200f\u061c mark",
    "invisible": (
        "zero\u200bwidth\u2060joiner\ufeff soft\u00adhyphen tag\U000e0041 space\u00a0nb"
        " line\u2028para\u2029"
    ),
}


def hostile_corpus() -> Corpus:
    corpus = Corpus(pairs=0, validation_pairs=0)
    for text in PAYLOADS.values():
        turns = [
            message("system", text),
            message("user", text),
            message("assistant", text, call("run " + text, argument=text)),
            message("tool", text),
        ]
        trace = make_trace(turns, category="harmful")
        trace["labels"]["attack_type"] = text
        trace["task"] = {"family": text, "name": text, "variant": text}
        trace["training"]["mixture"]["class_id"] = text
        trace["source"]["file"] = text
        trace["tool_attack"] = {
            "expected_tool": text,
            "simulated_tool": text,
            "observed_tool": text,
        }
        corpus.traces.append(trace)
        corpus.renders.append(make_render(trace, corpus.vocabulary))
        corpus.masks.append(make_mask(trace, corpus.renders[-1]))
    return corpus


def python_visible(text: str) -> str:
    """What the page must show, by its own rules written out once more: pictures for C0, code points
    in brackets for what hides.
    """
    hidden = {
        0x7F,
        0x9B,
        0x202E,
        0x202C,
        0x2066,
        0x2069,
        0x200F,
        0x061C,
        0x200B,
        0x2060,
        0xFEFF,
        0xAD,
        0xE0041,
        0xA0,
        0x2028,
        0x2029,
    }
    return "".join(
        (
            chr(0x2400 + ord(char))
            if ord(char) < 0x20
            else f"⟦U+{ord(char):04X}⟧"
            if ord(char) in hidden
            else char
        )
        for char in text
    )


def test_nothing_runs_and_nothing_is_fetched_and_all_is_shown(
    tmp_path: Path, open_page: Open
) -> None:
    corpus = hostile_corpus()
    rows = [
        {
            "stage": "fill",
            "file": text,
            "line": None,
            "record_id": text,
            "reason": "no_call",
            "detail": text,
            "raw": {text: text},
        }
        for text in PAYLOADS.values()
    ]
    rejects = write_jsonl(tmp_path / "rejects/fill/demo.jsonl", rows)
    title = PAYLOADS["end of style and template"]
    watched = open_page(build(corpus, tmp_path, (rejects,), title=title))
    page = watched.page
    assert page.title() == title
    for element in page.query_selector_all("details"):
        element.evaluate("node => { node.open = true }")
    page.check("#unfold")
    elements = page.evaluate(
        "[...new Set([...document.querySelectorAll('main *')].map((node) => node.localName))]"
    )
    assert not set(elements) & {
        "script",
        "img",
        "iframe",
        "link",
        "body",
        "a",
        "object",
        "template",
    }
    for number, text in enumerate(PAYLOADS.values()):
        if number:
            page.click("#next")
            watched.wait_for_record()
        for label in page.eval_on_selector_all(
            "#policy option", "nodes => nodes.map((node) => node.value)"
        ):
            page.select_option("#policy", label)
        turns = page.eval_on_selector_all(
            "#record .turn .tokens", "nodes => nodes.map((node) => node.textContent)"
        )
        assert len(turns) == 4
        for turn in turns:
            assert python_visible(text) in turn
        page.locator("#record .t").nth(4).hover()
    page.click("#tab-rejects")
    watched.wait_for_record()
    for number, text in enumerate(PAYLOADS.values()):
        if number:
            page.click("#next")
            watched.wait_for_record()
        assert python_visible(text) in page.text_content("#record .about")
        assert page.locator("#record .raw").count() == 1
    for search in PAYLOADS.values():
        page.fill("#search", search.replace("\x00", "").replace("\u2028", "").replace("\u2029", ""))
    page.wait_for_timeout(200)
    assert page.title() == title
    watched.check_quiet()


def test_the_policy_stops_what_would_run(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(build(Corpus(pairs=1), tmp_path))
    page = watched.page
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    page.evaluate(
        """(port) => {
      window.violations = [];
      document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.effectiveDirective));
      const script = document.createElement("script");
      try { script.text = "document.title = 'PWNED'"; } catch (error) { window.violations.push("blocked by type"); }
      document.body.append(script);
      const image = document.createElement("img");
      image.src = `http://127.0.0.1:${port}/beacon.png`;
      document.body.append(image);
      try { document.body.innerHTML = "<b>x</b>"; } catch (error) { window.violations.push("blocked by type"); }
      fetch(`http://127.0.0.1:${port}/`).catch(() => {});
    }""",  # noqa: E501 - embedded text
        listener.getsockname()[1],
    )
    watched.wait_until("window.violations.length >= 5")
    assert page.title() == "Circuit-breaker training data"
    violations = set(page.evaluate("window.violations"))
    assert {"blocked by type", "img-src", "connect-src", "require-trusted-types-for"} <= violations
    with listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_hidden_characters_stay_where_they_are(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=0, validation_pairs=0)
    trace = make_trace([message("user", "left \u202eright"), message("assistant", "fine שלום end")])
    corpus.traces, corpus.renders = [trace], [make_render(trace, corpus.vocabulary)]
    corpus.masks = [make_mask(trace, corpus.renders[0])]
    page = open_page(build(corpus, tmp_path)).page
    boxes = page.eval_on_selector_all(
        "#record .turn.user .t",
        "nodes => nodes.map((node) => [node.textContent, node.getBoundingClientRect().left])",
    )
    content = boxes[3:5]
    assert [text for text, _ in content] == ["left", " ⟦U+202E⟧right"]
    assert content[0][1] < content[1][1]
    words = page.eval_on_selector_all(
        "#record .turn.assistant .t",
        "nodes => nodes.map((node) => [node.textContent.trim(),"
        " node.getBoundingClientRect().left])",
    )
    left = dict(words)
    assert left["fine"] < left["שלום"] < left["end"]
