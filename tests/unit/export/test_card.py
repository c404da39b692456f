"""The data set card: front matter that YAML and datasets can read, cells that hold any text."""

from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cbdata.export.card import card_split, cell, dataset_card, table
from cbdata.export.dataset import export_parquet
from cbdata.export.pairs import export_pairs
from cbdata.render.tokenizer import load_tokenizer
from tests.records import Corpus


def card_of(corpus: Corpus, folder: Path) -> tuple[str, dict]:
    corpus.write(folder)
    manifest = export_parquet(
        [corpus.mask_file], [corpus.render_file], [corpus.trace_file], folder / "export"
    )
    return (folder / "export/README.md").read_text(), manifest


def configs_of(card: str) -> dict[str, dict[str, str]]:
    head = yaml.safe_load(card.split("---\n", 2)[1])
    return {
        config["config_name"]: {file["split"]: file["path"] for file in config["data_files"]}
        for config in head.get("configs", [])
    }


def test_front_matter_names_each_part_split_and_file(tmp_path: Path) -> None:
    card, _ = card_of(Corpus(), tmp_path)
    assert configs_of(card) == {
        config: {split: f"{folder}/{split}.parquet" for split in ("train", "validation")}
        for config, folder in (
            ("benign", "benign"),
            ("harmful", "harmful"),
            ("pairs", "pairs"),
            ("all", "data"),
        )
    }
    assert card.split("---\n", 2)[2].lstrip().startswith("# Circuit-breaker training rows")


def test_parts_without_rows_are_left_out(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    corpus.masks = [mask for mask in corpus.masks if mask["category"] == "benign"]
    card, _ = card_of(corpus, tmp_path)
    assert configs_of(card) == {
        "benign": {"train": "benign/train.parquet"},
        "all": {"train": "data/train.parquet"},
    }


def test_a_split_named_like_a_yaml_word_stays_a_string(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for mask in corpus.masks:
        mask["split"] = "null"
    card, _ = card_of(corpus, tmp_path)
    assert configs_of(card)["all"] == {"null": "data/null.parquet"}


@pytest.mark.parametrize(
    ("split", "splits", "expected"),
    [
        ("eval", ["train", "eval"], "validation"),
        ("train", ["train", "eval"], "train"),
        ("eval", ["eval", "validation"], "eval"),
        ("dev", ["dev", "eval"], "dev"),
        ("test", ["test"], "test"),
    ],
)
def test_the_split_that_trainers_look_for(split: str, splits: list[str], expected: str) -> None:
    assert card_split(split, splits) == expected


def first_code(card: str) -> str:
    return card.split("```python\n", 1)[1].split("```", 1)[0]


def test_the_first_code_loads_benign_rows_and_a_later_export_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for pairs in (2, 3):
        corpus = Corpus(pairs=pairs)
        for mask in corpus.masks:
            if mask["split"] == "validation":
                mask["split"] = "eval"
        card, _ = card_of(corpus, tmp_path)
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "export/pairs")
        monkeypatch.chdir(tmp_path)
        names: dict = {}
        exec(first_code(card), names)
        assert names["rows"]["category"][:] == ["benign"] * pairs
        load = names["load_dataset"]
        assert load("export", "harmful", split="validation")["category"][:] == ["harmful"]
        assert len(load("export", "pairs", split="train")) == pairs
        assert len(load("export", "all", split="train")) == 2 * pairs
        with pytest.raises(ValueError, match="Config name is missing"):
            load("export")


def test_the_card_says_how_long_the_rows_are_and_counts_pairs(tmp_path: Path) -> None:
    corpus = Corpus(pairs=7, validation_pairs=0)
    card, manifest = card_of(corpus, tmp_path)
    longest = max(len(render["input_ids"]) for render in corpus.renders)
    assert manifest["lengths"]["longest"] == longest
    assert f"The longest row has {longest:,} tokens; 50% have at most" in card
    assert manifest["splits"]["train"]["pairs"] == 7


def test_the_card_says_what_to_pad_with(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0).write(tmp_path)
    folder = corpus.tokenizer
    for render in corpus.renders:
        render["tokenizer_sha256"] = load_tokenizer(folder).sha256
    corpus.write(tmp_path)
    files = ([corpus.mask_file], [corpus.render_file], [corpus.trace_file])
    export_parquet(*files, tmp_path / "none", tokenizer=str(folder))
    assert "the tokenizer names no pad token" in (tmp_path / "none/README.md").read_text()
    config = orjson.loads((folder / "tokenizer_config.json").read_bytes())
    config["pad_token"] = "<|im_end|>"
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps(config))
    manifest = export_parquet(*files, tmp_path / "named", tokenizer=str(folder))
    pad = load_tokenizer(folder).control["<|im_end|>"].id
    assert manifest["pad_token"] == {"text": "<|im_end|>", "id": pad}
    assert f"`input_ids` with {pad} (`<|im_end|>`)" in (tmp_path / "named/README.md").read_text()
    elsewhere = export_parquet(*files, tmp_path / "gone", tokenizer=str(tmp_path / "nowhere"))
    assert elsewhere["pad_token"] is None


def test_resampled_weights_are_in_the_rows(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    corpus.masks[0] |= {"sample_weight": 3.0}
    corpus.masks[1] |= {"sample_weight": 0.0}
    corpus.write(tmp_path)
    files = ([corpus.mask_file], [corpus.render_file], [corpus.trace_file])
    manifest = export_parquet(*files, tmp_path / "export", weights="resample")
    rows = pq.read_table(tmp_path / "export/data").to_pylist()
    ids = [mask["trace_id"] for mask in corpus.masks]
    assert [row["trace_id"] for row in rows] == [ids[0]] * 3 + ids[2:]
    assert {row["sample_weight"] for row in rows} == {1.0}
    assert manifest["resampled"] == {"rows_in": 4, "dropped": 1, "without_loss": 0, "repeated": 2}
    assert manifest["splits"]["train"]["pairs"] == 2
    assert "Weights are in the rows" in (tmp_path / "export/README.md").read_text()


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


@pytest.mark.parametrize(
    ("model", "shown"),
    [("org/model", "org/model"), ("/home/me/models/x", "x"), ("scratch/cache/models/x", "x")],
)
def test_a_local_model_is_shown_without_its_folder(tmp_path: Path, model: str, shown: str) -> None:
    corpus = Corpus(pairs=1)
    for trace in corpus.traces:
        trace["raw_metadata"]["generation"] = {"model": model, "backend": "vllm"}
    card, manifest = card_of(corpus, tmp_path)
    assert {entry["model"] for entry in manifest["generators"]} == {shown}
    assert f"`{shown}`" in card and "/home/me" not in card


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
        "weights": "columns",
        "lengths": {},
        "pad_token": None,
        "splits": {},
        "files": {},
        "sources": [],
        "generators": [],
        "inputs": {},
        "renders": [],
        "tool_schemas": [],
    }
    assert configs_of(dataset_card(empty)) == {}
