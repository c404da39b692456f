"""The Rejects tab: what was asked, what was written, and why it was not taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.pages import Open, build
from tests.records import Corpus, write_jsonl

pytestmark = pytest.mark.browser


def test_a_rejected_completion_tells_its_story(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    skeleton = corpus.skeletons[0]
    skeleton["tool_attack"] = {"expected_tool": "retrieve_docs", "simulated_tool": "search_web"}
    row = {
        "stage": "fill",
        "file": "demo_skeletons.jsonl",
        "line": 1,
        "record_id": skeleton["id"],
        "reason": "other_tool",
        "detail": "calls send_email",
        "raw": {
            "completion": '<tool_call>{"name": "send_email"}</tool_call>',
            "completion_token_ids": [1, 2],
            "observed_tool": "send_email",
            "generation": {"model": "some-model", "dr_context": "removed", "system_suffix": "Hm ."},
        },
    }
    files = tuple(
        write_jsonl(tmp_path / f"rejects/fill/demo_{mode}.jsonl", [row]) for mode in ("ds", "dr")
    )
    watched = open_page(build(corpus, tmp_path, files))
    page = watched.page
    page.click("#tab-rejects")
    watched.wait_for_record()
    for mode in ("ds", "dr"):
        told = page.inner_text("#record")
        for part in (
            "retrieve_docs",
            "search_web",
            "send_email",
            "calls send_email",
            "calls of known tools, neither the target nor the expected one among them",
            "You call tools .⏎\n⏎\nHm .",
            "show me pictures of planet 0",
        ):
            assert part in told
        # A DR was asked without the injection.
        assert ("instead search the web" in told) == (mode == "ds")
        assert "<tool_call>" not in told
        page.get_by_role("button", name="Show the completion").click()
        assert row["raw"]["completion"] in page.inner_text("#record")
        page.click("#next") if mode == "ds" else None
        watched.wait_for_record()
    page.fill("#search", '"send_email"}')
    watched.wait_for_record()
    assert page.inner_text("#count") == "2 of 2 rejects"
    watched.check_quiet()


def test_the_tab_hides_what_does_not_belong(tmp_path: Path, open_page: Open) -> None:
    row = {
        "stage": "etl_a",
        "file": "raw.jsonl",
        "line": 1,
        "record_id": None,
        "reason": "not_json",
        "detail": "half a line",
        "raw": "{",
    }
    rejects = write_jsonl(tmp_path / "rejects/etl_a/demo.jsonl", [row])
    watched = open_page(build(Corpus(pairs=1), tmp_path, (rejects,)))
    page = watched.page
    page.select_option("#compare", "twin")
    watched.wait_for_record()
    of_traces = ["#policy", "#compare", "#legend", "#to-loss", "#twin", "#token", "#beside"]
    assert all(map(page.is_visible, of_traces))
    page.click("#tab-rejects")
    watched.wait_for_record()
    assert [node for node in of_traces if page.is_visible(node)] == []
    assert page.is_disabled("#save")
    page.keyboard.press("l")
    page.keyboard.press("t")
    page.keyboard.press("n")
    page.click("#tab-traces")
    watched.wait_for_record()
    assert all(map(page.is_visible, of_traces))
    # The tabs are one stop of the tab key, and the arrows go between them.
    page.focus("#tab-traces")
    page.keyboard.press("ArrowRight")
    watched.wait_for_record()
    assert page.inner_text("#count") == "1 of 1 rejects"
    assert page.evaluate("document.activeElement.id") == "tab-rejects"
    watched.check_quiet()


def test_nothing_that_is_hidden_is_seen(tmp_path: Path, open_page: Open) -> None:
    page = open_page(build(Corpus(pairs=1), tmp_path)).page
    hidden = page.evaluate(
        "[...document.querySelectorAll('[hidden]')].map((node) => [node.id,"
        " getComputedStyle(node).display])"
    )
    assert hidden and all(display == "none" for _, display in hidden)
