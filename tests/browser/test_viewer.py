"""Clicking through the viewer: what is highlighted is what the mask files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import Open, Watched, build
from tests.records import Corpus, make_mask, make_render, mask_record, write_jsonl

pytestmark = pytest.mark.browser

HIGHLIGHTED = """() => [...document.querySelectorAll("#record .t")].filter((span) => /\\bw\\d+\\b/.test(span.className))
  .map((span) => [Number(span.dataset.i), Number(/\\bw(\\d+)\\b/.exec(span.className)[1]), span.textContent])"""  # noqa: E501 - embedded text
MARKED = (
    '(name) => [...document.querySelectorAll("#record .t." + name)]'
    ".map((span) => Number(span.dataset.i))"
)


def visible_lines(text: str) -> str:
    return text.replace("\n", "\u23ce\n")


def positions(
    spans: list[dict[str, Any]], start: str = "token_start", end: str = "token_end"
) -> list[int]:
    return [position for span in spans for position in range(span[start], span[end])]


def check_highlight(
    watched: Watched, corpus: Corpus, mask: dict[str, Any], render: dict[str, Any]
) -> None:
    words = {index: token for token, index in corpus.vocabulary.ids.items()}
    expected = [
        [position, max(1, round(weight * 10)), visible_lines(words[render["input_ids"][position]])]
        for position, weight in enumerate(mask["loss_mask"])
        if weight > 0
    ]
    assert watched.page.evaluate(HIGHLIGHTED) == expected


def test_every_trace_under_every_mask_file(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=3)
    both = list(zip(corpus.traces, corpus.renders, strict=True))
    sweeps = {"tool_calls_only": [make_mask(*pair, "tool_calls_only") for pair in both]}
    tenths = [
        mask_record(
            *pair, [position % 11 / 10 for position in range(len(pair[1]["input_ids"]))], "custom"
        )
        for pair in both
    ]
    sweeps["custom"] = tenths
    for policy, rows in sweeps.items():
        write_jsonl(tmp_path / f"lossmasks/by_policy/{policy}/demo.jsonl", rows)
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    page.check("#unfold")
    for number, render in enumerate(corpus.renders):
        if number:
            page.click("#next")
            watched.wait_for_record()
        assert page.locator("#record .about").inner_text().count(corpus.traces[number]["id"]) == 1
        for label, rows in {
            "lossmasks": corpus.masks,
            "by_policy/tool_calls_only": sweeps["tool_calls_only"],
            "by_policy/custom": tenths,
        }.items():
            page.select_option("#policy", label)
            check_highlight(watched, corpus, rows[number], render)
        page.select_option("#policy", "policy tool_calls_only")
        check_highlight(watched, corpus, sweeps["tool_calls_only"][number], render)
        assert page.evaluate(MARKED, "call") == positions(render["alignment"]["tool_call_spans"])
        assert page.evaluate(MARKED, "name") == positions(
            render["alignment"]["tool_call_spans"], "name_token_start", "name_token_end"
        )
        assert page.evaluate(MARKED, "injection") == positions(render["signals"]["injection_spans"])
        assert page.evaluate(MARKED, "commit") == [
            commitment["commitment_token_idx"]
            for commitment in render["signals"]["action_commitments"]
        ]
        assert page.evaluate(MARKED, "special") == [
            position for position, token in enumerate(render["input_ids"]) if token < 4
        ]
        assert page.evaluate(
            "[...document.querySelectorAll('#record .t')].map((span) => Number(span.dataset.i))"
        ) == list(range(len(render["input_ids"])))
    assert page.is_disabled("#next") and not page.is_disabled("#previous")
    watched.check_quiet()


def test_harmful_completions_are_folded_until_asked_for(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    harmful = page.locator("#record .turn.assistant")
    assert harmful.locator(".t").count() == 0
    harmful.get_by_role("button", name="Show harmful completion").click()
    assert "search_web" in harmful.inner_text().replace("◆", "")
    page.click("#twin")
    watched.wait_for_record()
    assert "benign" in page.inner_text("#record .about")
    assert page.locator("#record .turn.assistant .t").count() > 0
    page.click("#previous")
    watched.wait_for_record()
    assert "harmful" in page.inner_text("#record .about")
    assert page.locator("#record .turn.assistant .t").count() == 0


def test_search_and_filters(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(build(Corpus(pairs=10, validation_pairs=0), tmp_path))
    page = watched.page
    assert page.inner_text("#count") == "20 of 20 traces"
    page.select_option("#filter-category", "harmful")
    assert page.inner_text("#count") == "10 of 20 traces"
    page.fill("#search", "PLANET  7")
    watched.wait_for_record()
    assert page.inner_text("#count") == "1 of 20 traces"
    page.fill("#search", "retrieve_docs")
    watched.wait_for_record()
    assert (
        page.inner_text("#count") == "0 of 20 traces"
        and page.inner_text("#record") == "No record matches."
    )
    page.select_option("#filter-category", "")
    watched.wait_for_record()
    assert page.inner_text("#count") == "10 of 20 traces"
    page.fill("#search", "")
    page.select_option("#filter-outcome", "safe")
    assert page.inner_text("#count") == "10 of 20 traces"


def test_rejects_are_browsed_and_filtered_by_reason(tmp_path: Path, open_page: Open) -> None:
    rows = [
        {
            "stage": "fill",
            "file": "s.jsonl",
            "line": number,
            "record_id": f"r{number}",
            "reason": ("no_call", "truncated")[number % 2],
            "detail": f"detail {number}",
        }
        for number in range(1, 8)
    ]
    rows[0]["raw"] = {"note": "something harmful"}
    rejects = write_jsonl(tmp_path / "rejects/fill/demo_ds.jsonl", rows)
    watched = open_page(build(Corpus(pairs=1), tmp_path, (rejects,)))
    page = watched.page
    page.click("#tab-rejects")
    watched.wait_for_record()
    assert page.inner_text("#count") == "7 of 7 rejects" and "detail 1" in page.inner_text(
        "#record"
    )
    assert "something harmful" not in page.inner_text("#record")
    page.get_by_role("button", name="Show the raw record").click()
    assert "something harmful" in page.inner_text("#record")
    page.select_option("#filter-reason", "no_call")
    watched.wait_for_record()
    assert page.inner_text("#count") == "3 of 7 rejects" and "detail 2" in page.inner_text(
        "#record"
    )
    page.click("#next")
    watched.wait_for_record()
    assert "detail 4" in page.inner_text("#record")
    page.click("#tab-traces")
    watched.wait_for_record()
    assert page.locator("#record .t").count() > 0


def test_a_token_tells_its_id_text_and_weight(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    page = open_page(build(corpus, tmp_path)).page
    page.check("#unfold")
    call = corpus.renders[0]["alignment"]["tool_call_spans"][0]
    position = call["name_token_start"]
    page.locator(f"#record .t[data-i='{position}']").hover()
    told = page.inner_text("#token")
    token = corpus.renders[0]["input_ids"][position]
    for part in (
        f"token {position}",
        f"id {token}",
        '"search"',
        "assistant",
        "loss 1",
        f"label {token}",
        "tool name",
        "commitment point",
    ):
        assert part in told
    page.locator("#record .t[data-i='1']").hover()
    assert "label -100" in page.inner_text("#token") and "loss 0" in page.inner_text("#token")


def test_what_the_model_wrote_itself_is_marked(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.renders[1]["on_policy"] = True
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    page.check("#unfold")
    assert page.evaluate(MARKED, "own") == []
    page.click("#next")
    watched.wait_for_record()
    last = corpus.renders[1]["alignment"]["assistant_spans"][-1]
    assert page.evaluate(MARKED, "own") == positions([last])
    page.locator(f"#record .t[data-i='{last['token_start']}']").hover()
    assert "written by the model itself" in page.inner_text("#token")
    assert "on policy" in page.inner_text("#record .about")
    assert "renders on policy" in page.inner_text(".tiles")


def test_the_first_token_with_loss_is_brought_into_sight(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for trace in corpus.traces:
        trace["messages"][0]["content"] = "a long system message " * 400
    corpus.renders = [make_render(trace, corpus.vocabulary) for trace in corpus.traces]
    corpus.masks = [
        make_mask(trace, render)
        for trace, render in zip(corpus.traces, corpus.renders, strict=True)
    ]
    page = open_page(build(corpus, tmp_path)).page
    page.check("#unfold")
    first = corpus.renders[0]["alignment"]["assistant_spans"][0]["token_start"]
    seen = f"""() => {{
      const token = document.querySelector("#record .t[data-i='{first}']").getBoundingClientRect();
      const box = document.querySelector("#record").getBoundingClientRect();
      return token.top >= box.top && token.bottom <= box.bottom;
    }}"""
    # It is where the record opens.
    assert page.evaluate(seen)
    page.evaluate("byId('record').scrollTop = 0")
    assert not page.evaluate(seen)
    page.click("#to-loss")
    assert page.evaluate(seen) and page.inner_text("#token").startswith(f"token {first} ")


def test_everything_works_by_keyboard(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=5, validation_pairs=0)
    watched = open_page(build(corpus, tmp_path))
    page = watched.page

    def shown() -> str:
        watched.wait_for_record()
        return page.inner_text("#record .about")

    page.focus("#list")
    page.keyboard.press("ArrowDown")
    assert corpus.traces[1]["id"] in shown()
    page.keyboard.press("End")
    assert corpus.traces[9]["id"] in shown()
    page.keyboard.press("k")
    assert corpus.traces[8]["id"] in shown()
    page.keyboard.press("Home")
    page.keyboard.press("j")
    assert corpus.traces[1]["id"] in shown()
    page.focus("#record .turn.user .tokens")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    first = corpus.renders[1]["alignment"]["message_spans"][1]["token_start"]
    assert page.inner_text("#token").startswith(f"token {first + 2} ")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#token").startswith(f"token {first + 1} ")
    page.focus("#search")
    page.keyboard.type("jk")
    assert page.input_value("#search") == "jk"


def test_ten_thousand_traces_keep_few_rows_in_the_page(tmp_path: Path, open_page: Open) -> None:
    corpus = Corpus(pairs=5000, validation_pairs=0)
    watched = open_page(build(corpus, tmp_path))
    page = watched.page
    assert page.inner_text("#count") == "10,000 of 10,000 traces"
    assert "All 10,000 traces" in page.inner_text(".sampled")
    assert page.locator("#list .row").count() < 60
    page.focus("#list")
    page.keyboard.press("End")
    watched.wait_for_record()
    assert corpus.traces[-1]["id"] in page.inner_text("#record .about")
    assert page.locator("#list .row").count() < 60
    page.fill("#search", "planet 4321")
    watched.wait_for_record()
    assert page.inner_text("#count") == "2 of 10,000 traces" and corpus.traces[2 * 4321][
        "id"
    ] in page.inner_text("#record .about")
    watched.check_quiet()


def test_a_sample_says_that_it_is_one(tmp_path: Path, open_page: Open) -> None:
    page = open_page(build(Corpus(pairs=40, validation_pairs=0), tmp_path, token_budget=400)).page
    shown = int(page.inner_text("#count").split()[0])
    assert 0 < shown < 80 and f"A sample: {shown} of 80 traces" in page.inner_text(".sampled")
