"""The page as text: its policy covers exactly its own script and style, and data cannot become
markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest

from cbdata.lossmask.registry import load_registry
from cbdata.report import page
from cbdata.report.build import build_report
from cbdata.report.inputs import DataSet, ReportInputs
from tests.records import Corpus, call, message, write_jsonl

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"


class Reader(HTMLParser):
    """Collects elements with their attributes, and the text inside script and style elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag in self.raw and self.cdata_elem:
            self.raw[self.lasttag][-1] += data


def built(tmp_path: Path, evil: bool) -> str:
    corpus = Corpus(pairs=2, validation_pairs=0)
    text = EVIL if evil else "plain"
    for trace in corpus.traces:
        trace["messages"][1]["content"] = f"{text} {trace['messages'][1]['content']}"
        trace["training"]["mixture"]["class_id"] = text
        trace["labels"]["attack_type"] = text
        trace["messages"][-1] = message("assistant", text, call(text))
        trace["source"] |= {"file": text, "model_id": text}
        trace["task"]["family"] = text
    for mask in corpus.masks:
        mask["class_id"] = text
    corpus.write(tmp_path)
    reject = {
        "stage": "etl_a",
        "file": text,
        "line": None,
        "record_id": text,
        "reason": "bad",
        "detail": text,
        "raw": {text: text},
    }
    rejects = write_jsonl(tmp_path / "rejects/etl_a/demo.jsonl", [reject])
    counts = {
        "records_in": 1,
        "records_out": 0,
        "rejected": 1,
        "duplicates": 0,
        "not_selected": 0,
        "headers": 0,
    }
    row = {
        "stage": "etl_a",
        "name": "demo",
        "counts": counts,
        "rejected_by_reason": {"bad": 1},
        "details": {},
    }
    stats = write_jsonl(tmp_path / "stats/etl_a/demo.json", [row])
    dataset = DataSet("demo", corpus.trace_file, corpus.render_file, corpus.mask_file)
    inputs = ReportInputs(
        (dataset,),
        stats=(stats,),
        rejects=(rejects,),
        tokenizer=corpus.tokenizer,
        settings={text: text},
    )
    build_report(inputs, load_registry(), tmp_path / "index.html", title=text)
    return (tmp_path / "index.html").read_text(encoding="utf-8")


def test_hostile_text_adds_no_element(tmp_path: Path) -> None:
    hostile, plain = (
        Reader(built(tmp_path / "a", evil=True)),
        Reader(built(tmp_path / "b", evil=False)),
    )
    tags = [[tag for tag, _ in page.elements if tag != "wbr"] for page in (hostile, plain)]
    assert tags[0] == tags[1]
    names = {name for _, attributes in hostile.elements for name in attributes}
    assert (
        not {name for name in names if name.startswith("on")}
        and "src" not in names
        and "style" not in names
    )


def test_hostile_labels_stand_in_the_figures_as_text(tmp_path: Path) -> None:
    cells = re.findall(r'<th scope="row"[^>]*>(.*?)</th>', built(tmp_path, evil=True))
    shown = {html.unescape(cell.replace("<wbr>", "")) for cell in cells}
    assert EVIL.replace("\u202e", "⟦U+202E⟧") in shown


def test_the_model_stands_in_the_footer_where_it_generated(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0).write(tmp_path)
    settings = {"model": "org/model", "seed": 0}

    def footer(name: str) -> str:
        out = tmp_path / name
        build_report(ReportInputs((corpus.dataset(),), settings=settings), load_registry(), out)
        return out.read_text(encoding="utf-8").split("<footer>")[1].split("</footer>")[0]

    assert "org/model" not in footer("loaded.html") and "seed 0" in footer("loaded.html")
    for trace in corpus.traces:
        trace["raw_metadata"]["generation"] = {
            "attempt": 1,
            "model": "org/model",
            "backend": "vllm",
            "temperature": 0.7,
        }
    corpus.write(tmp_path)
    assert "model org/model" in footer("filled.html")


def test_the_policy_names_the_script_and_the_style_by_hash(tmp_path: Path) -> None:
    reader = Reader(built(tmp_path, evil=True))
    policy = (
        next(
            attributes["content"]
            for tag, attributes in reader.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        or ""
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == hashed(reader.raw["script"][-1])
    assert rules["style-src"] == hashed(reader.raw["style"][0])
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy


def test_the_page_names_nothing_outside_itself(tmp_path: Path) -> None:
    text = built(tmp_path, evil=False)
    links = [
        attributes.get("href") for tag, attributes in Reader(text).elements if tag in ("a", "link")
    ]
    assert links and all(link and link.startswith("#") for link in links)
    assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", ""))


def test_data_comes_back_as_it_went_in(tmp_path: Path) -> None:
    reader = Reader(built(tmp_path, evil=True))
    index = orjson.loads(reader.raw["script"][0])
    assert index["rejects"]["record"] == [EVIL] and index["traces"]["class"] == [EVIL] * 4


def test_an_asset_that_would_end_its_element_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.js").write_text("x = '</SCRIPT>'")
    monkeypatch.setattr(page, "ASSETS", tmp_path)
    with pytest.raises(page.AssetError, match="write the string in two parts"):
        page.asset(["bad.js"], "</script")


def test_scripts_never_turn_text_into_markup() -> None:
    for name in page.SCRIPTS:
        source = (page.ASSETS / name).read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new"
            r" Function|setTimeout\(\s*['\"]",
            source,
        )


def test_each_completed_set_has_its_own_yields(tmp_path: Path) -> None:
    datasets, stats, skeletons = [], [], []
    for number, stem in enumerate(("b4", "dojo")):
        corpus = Corpus(pairs=2 + number, validation_pairs=0).write(tmp_path / stem)
        skeletons.append(corpus.skeleton_file.rename(tmp_path / f"{stem}_skeletons.jsonl"))
        for mode in ("ds", "dr"):
            counts = {"records_in": 2 + number, "records_out": 2 + number, "rejected": 0}
            row = {
                "stage": "fill",
                "name": f"{stem}_{mode}",
                "counts": {**counts, "duplicates": 0, "not_selected": 0, "headers": 0},
                "rejected_by_reason": {},
                "details": {"outcomes": {}, "completions": {}},
            }
            stats.append(write_jsonl(tmp_path / f"{stem}_{mode}.json", [row]))
            files = corpus.trace_file, corpus.render_file, corpus.mask_file
            datasets.append(DataSet(f"{stem}_{mode}", *files))

    def page(sets: int) -> str:
        inputs = ReportInputs(
            tuple(datasets[: 2 * sets]),
            skeletons=tuple(skeletons[:sets]),
            stats=tuple(stats[: 2 * sets]),
            tokenizer=corpus.tokenizer,
        )
        build_report(inputs, load_registry(), tmp_path / "index.html")
        return (tmp_path / "index.html").read_text(encoding="utf-8").replace("<wbr>", "")

    both = page(2)
    for title in ("Yield by attack and subtype", "Yield by attempt"):
        assert f"{title}: b4<" in both and f"{title}: dojo<" in both
    alone = page(1)
    assert "Yield by attack and subtype<" in alone and ": b4<" not in alone
