"""The data set card: front matter that YAML and datasets can read, cells that hold any text."""

from __future__ import annotations

from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cbdata.export.card import cell, dataset_card, table
from cbdata.export.dataset import export_parquet
from tests.records import Corpus


def card_of(corpus: Corpus, folder: Path) -> tuple[str, dict]:
    corpus.write(folder)
    manifest = export_parquet(
        [corpus.mask_file], [corpus.render_file], [corpus.trace_file], folder / "export"
    )
    return (folder / "export/README.md").read_text(), manifest


def test_front_matter_names_each_split_and_its_file(tmp_path: Path) -> None:
    card, _ = card_of(Corpus(), tmp_path)
    _, head, body = card.split("---\n", 2)
    config = yaml.safe_load(head)["configs"][0]
    assert config["data_files"] == [
        {"split": "train", "path": "data/train.parquet"},
        {"split": "validation", "path": "data/validation.parquet"},
    ]
    assert body.lstrip().startswith("# Circuit-breaker training rows")


def test_a_split_named_like_a_yaml_word_stays_a_string(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for mask in corpus.masks:
        mask["split"] = "null"
    card, _ = card_of(corpus, tmp_path)
    assert yaml.safe_load(card.split("---\n", 2)[1])["configs"][0]["data_files"] == [
        {"split": "null", "path": "data/null.parquet"}
    ]


def test_counts_hashes_sources_and_licences_are_shown(tmp_path: Path) -> None:
    corpus = Corpus()
    for trace in corpus.traces:
        trace["source"]["dataset"] = "fujitsu_b4"
        trace["raw_metadata"]["generation"] = {
            "model": "org/model",
            "backend": "vllm",
            "temperature": 0.7,
            "max_tokens": 1,
        }
        trace["raw_metadata"]["tool_schema_ref"] = {"version": "tools_v1", "digest": "d" * 64}
    card, manifest = card_of(corpus, tmp_path)
    assert "CC BY 4.0" in card and "`org/model`" in card
    for sha256 in [
        *manifest["inputs"].values(),
        *(entry["sha256"] for entry in manifest["files"].values()),
        "d" * 64,
    ]:
        assert sha256 in card
    assert f"| `train` | 6 | {manifest['splits']['train']['tokens']:,} |" in card


def test_hostile_names_stay_inside_their_cell(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for mask in corpus.masks:
        mask["class_id"] = "x`|</td><script>\n## heading"
    card, _ = card_of(corpus, tmp_path)
    assert "| `x'\\|</td><script>\\x0a## heading` | 2 |" in card


@given(st.text())
def test_cells_are_one_code_span_on_one_line(text: str) -> None:
    code = cell(text)
    assert code.count("`") == 2 and code[0] == code[-1] == "`"
    assert len(code.splitlines()) == 1
    assert table(["head"], [[code]]).count("\n") == 3


def test_an_empty_export_has_a_card() -> None:
    empty = {
        "splits": {},
        "files": {},
        "sources": [],
        "generators": [],
        "inputs": {},
        "renders": [],
        "tool_schemas": [],
    }
    assert (
        yaml.safe_load(dataset_card(empty).split("---\n", 2)[1])["configs"][0]["data_files"] == []
    )
