"""Parquet export: columns, values equal to the JSON Lines, sizes of row groups, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbdata.atomic_file import FileError
from cbdata.export.dataset import export_parquet, file_sha256
from cbdata.export.rows import ExportError, prompt_length
from cbdata.jsonl import JsonlError
from cbdata.schemas import first_error
from tests.records import Corpus, make_mask
from tests.unit.full_disk import full_disk

COLUMNS = {
    "input_ids": pa.int32(),
    "attention_mask": pa.int8(),
    "labels": pa.int32(),
    "loss_mask": pa.float32(),
    "assistant_masks": pa.int8(),
    "sample_weight": pa.float64(),
    "category": pa.string(),
    "class_id": pa.string(),
    "policy_id": pa.string(),
    "trace_id": pa.string(),
    "pair_id": pa.string(),
    "prompt_length": pa.int32(),
}


def export(corpus: Corpus, out: Path, **options: int) -> dict:
    return export_parquet(
        [corpus.mask_file], [corpus.render_file], [corpus.trace_file], out, **options
    )


def test_builder_rows_are_valid() -> None:
    corpus = Corpus()
    for kind, rows in (
        ("trace_v1", corpus.skeletons + corpus.traces),
        ("render_v1", corpus.renders),
        ("lossmask_v1", corpus.masks),
    ):
        assert [first_error(kind, row) for row in rows] == [None] * len(rows)


def test_columns_have_the_agreed_names_and_types(tmp_path: Path) -> None:
    export(Corpus().write(tmp_path), tmp_path / "export")
    schema = pq.read_schema(tmp_path / "export/data/train.parquet")
    assert schema.names == list(COLUMNS)
    for name, kind in COLUMNS.items():
        found = schema.field(name).type
        assert (found.value_type if pa.types.is_list(found) else found) == kind
    metadata = pq.read_metadata(tmp_path / "export/data/train.parquet")
    assert {metadata.row_group(0).column(i).compression for i in range(metadata.num_columns)} == {
        "ZSTD"
    }


@pytest.mark.parametrize("row_group_tokens", [1, 40, 1 << 20])
def test_values_equal_the_json_lines_whatever_the_row_groups(
    tmp_path: Path, row_group_tokens: int
) -> None:
    corpus = Corpus(pairs=7)
    corpus.masks[3] = make_mask(corpus.traces[3], corpus.renders[3], weight=0.3, sample_weight=0.1)
    corpus.write(tmp_path)
    export(corpus, tmp_path / "export", row_group_tokens=row_group_tokens)
    for split in ("train", "validation"):
        rows = pq.read_table(tmp_path / f"export/data/{split}.parquet").to_pylist()
        expected = [
            (mask, render)
            for mask, render in zip(corpus.masks, corpus.renders, strict=True)
            if mask["split"] == split
        ]
        assert len(rows) == len(expected)
        for row, (mask, render) in zip(rows, expected, strict=True):
            for key in (
                "sample_weight",
                "category",
                "class_id",
                "policy_id",
                "trace_id",
                "pair_id",
                "labels",
            ):
                assert row[key] == mask[key]
            assert row["loss_mask"] == np.array(mask["loss_mask"], np.float32).tolist()
            assert row["assistant_masks"] == [int(weight > 0) for weight in mask["loss_mask"]]
            assert row["input_ids"] == render["input_ids"]
            assert row["attention_mask"] == render["attention_mask"]
            assert row["prompt_length"] == render["prompt"]["length"]
    groups = pq.read_metadata(tmp_path / "export/data/train.parquet").num_row_groups
    tokens = sum(len(mask["labels"]) for mask in corpus.masks if mask["split"] == "train")
    longest = max(len(mask["labels"]) for mask in corpus.masks)
    assert (
        math.ceil(tokens / (row_group_tokens + longest))
        <= groups
        <= math.ceil(tokens / row_group_tokens)
    )


def test_datasets_loads_the_same_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    corpus = Corpus().write(tmp_path)
    export(corpus, tmp_path / "export")
    files = {
        split: str(tmp_path / f"export/data/{split}.parquet") for split in ("train", "validation")
    }
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 6, "validation": 2}
    for row, mask, render in zip(loaded["train"], corpus.masks, corpus.renders, strict=False):
        assert (row["labels"], row["loss_mask"], row["input_ids"]) == (
            mask["labels"],
            mask["loss_mask"],
            render["input_ids"],
        )
    assert loaded["train"].features["input_ids"].feature.dtype == "int32"
    folder = datasets.load_dataset(
        str(tmp_path / "export"), "all", split="validation", cache_dir=str(tmp_path / "cache")
    )
    assert folder["trace_id"][:] == loaded["validation"]["trace_id"][:]


def test_a_null_pair_id(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.masks[0]["pair_id"] = None
    export(corpus.write(tmp_path), tmp_path / "export")
    assert pq.read_table(tmp_path / "export/data/train.parquet")["pair_id"].to_pylist() == [
        None,
        corpus.masks[1]["pair_id"],
    ]


@pytest.mark.parametrize(("side", "whole"), [("none", False), ("window", False), ("right", True)])
def test_prompt_length_of_a_render_that_names_no_prompt(side: str, whole: bool) -> None:
    render = Corpus(pairs=1).renders[0]
    del render["prompt"]
    render["render_options"]["truncation_side"] = side
    expected = (
        len(render["input_ids"])
        if whole
        else render["alignment"]["assistant_spans"][-1]["token_start"]
    )
    assert prompt_length(render) == expected
    render["alignment"]["assistant_spans"] = []
    assert prompt_length(render) == len(render["input_ids"])


def test_manifest_counts_and_hashes(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=1).write(tmp_path)
    manifest = export(corpus, tmp_path / "export")
    assert manifest == orjson.loads((tmp_path / "export/manifest.json").read_bytes())
    train = manifest["splits"]["train"]
    masks = [mask for mask in corpus.masks if mask["split"] == "train"]
    assert (train["rows"], train["pairs"], train["zero_weight_rows"]) == (4, 2, 0)
    assert train["tokens"] == sum(mask["stats"]["total_tokens"] for mask in masks)
    assert train["trained_tokens"] == sum(mask["stats"]["unmasked_tokens"] for mask in masks)
    assert train["by_category"] == {"benign": 2, "harmful": 2}
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == file_sha256(tmp_path / "export" / name)
    assert manifest["sources"] == [{"dataset": "demo", "file": "raw.jsonl", "traces": 6}]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    corpus = Corpus().write(tmp_path)
    first, second = export(corpus, tmp_path / "a"), export(corpus, tmp_path / "b")
    assert first == second


def test_a_split_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    corpus = Corpus().write(tmp_path)
    export(corpus, tmp_path / "export")
    corpus.masks = [mask for mask in corpus.masks if mask["split"] == "train"]
    export(corpus.write(tmp_path), tmp_path / "export")
    assert [path.name for path in (tmp_path / "export/data").iterdir()] == ["train.parquet"]


def test_no_rows_give_a_card_and_no_data(tmp_path: Path) -> None:
    corpus = Corpus(pairs=0, validation_pairs=0).write(tmp_path)
    manifest = export(corpus, tmp_path / "export")
    assert manifest["splits"] == {}
    assert (tmp_path / "export/README.md").exists()
    assert list((tmp_path / "export/data").iterdir()) == []


def mask_without_render(corpus: Corpus) -> None:
    del corpus.renders[1]


def other_trace(corpus: Corpus) -> None:
    corpus.masks[1]["trace_id"] = corpus.traces[0]["id"]


def short_labels(corpus: Corpus) -> None:
    corpus.masks[1]["labels"].pop()


def path_as_split(corpus: Corpus) -> None:
    corpus.masks[1]["split"] = "../../evil"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (mask_without_render, "expected render render_"),
        (other_trace, "expected trace_id"),
        (short_labels, "expected equal lengths"),
        (path_as_split, "expected letters"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_nothing_is_published(
    tmp_path: Path, damage: object, message: str
) -> None:
    corpus = Corpus()
    damage(corpus)
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match=message):
        export(corpus, tmp_path / "export")
    assert [path for path in (tmp_path / "export").rglob("*") if path.is_file()] == []


def test_a_render_given_twice_is_refused(tmp_path: Path) -> None:
    corpus = Corpus().write(tmp_path)
    with pytest.raises(JsonlError, match="give each file once"):
        export_parquet(
            [corpus.mask_file], [corpus.render_file, corpus.render_file], [], tmp_path / "export"
        )


@pytest.mark.parametrize("limit", [0, 2048])
def test_a_full_disk_names_the_file_and_publishes_nothing(tmp_path: Path, limit: int) -> None:
    """It fails at the first bytes, and at the footer."""
    corpus = Corpus().write(tmp_path)
    with full_disk(limit), pytest.raises(FileError, match=r"data/\w+\.parquet could not be"):
        export(corpus, tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def pool(corpus: Corpus) -> Corpus:
    """Give every mask of a corpus a second one."""
    for trace, render, mask in zip(corpus.traces, corpus.renders, corpus.masks, strict=True):
        mask |= {
            "pooling_mask": make_mask(trace, render, "tool_calls_only", 0.5)["loss_mask"],
            "pooling_policy_id": "tool_calls_only",
            "pooling_policy_version": "1.0.0",
            "pooling_policy_params": {},
        }
    return corpus


def test_a_second_mask_has_columns_of_its_own(tmp_path: Path) -> None:
    corpus = pool(Corpus(pairs=2)).write(tmp_path)
    manifest = export(corpus, tmp_path / "export", row_group_tokens=1)
    table = pq.read_table(tmp_path / "export/data/train.parquet")
    assert set(table.column_names) == {*COLUMNS, "pooling_mask", "pooling_policy_id"}
    assert table.schema.field("pooling_mask").type.value_type == pa.float32()
    expected = [mask for mask in corpus.masks if mask["split"] == "train"]
    for row, mask in zip(table.to_pylist(), expected, strict=True):
        for key in ("loss_mask", "pooling_mask", "pooling_policy_id"):
            assert row[key] == mask[key]
    assert manifest["splits"]["train"]["by_pooling_policy"] == {"tool_calls_only": len(expected)}
    card = (tmp_path / "export/README.md").read_text()
    assert "| `pooling_mask` |" in card and "policy of the pooling mask" in card
    export(Corpus(pairs=2).write(tmp_path), tmp_path / "plain")
    assert "pooling" not in (tmp_path / "plain/README.md").read_text()


@pytest.mark.parametrize("without", [0, -1])
def test_rows_of_which_some_have_a_second_mask_are_refused(tmp_path: Path, without: int) -> None:
    corpus = pool(Corpus(pairs=2, validation_pairs=0))
    for key in [key for key in corpus.masks[without] if key.startswith("pooling")]:
        del corpus.masks[without][key]
    with pytest.raises(ExportError, match="expected a pooling_mask in every row of the export or"):
        export(corpus.write(tmp_path), tmp_path / "export")
    assert not list((tmp_path / "export/data").glob("*.parquet"))


def test_a_second_mask_of_another_length_is_refused(tmp_path: Path) -> None:
    corpus = pool(Corpus(pairs=2))
    corpus.masks[1]["pooling_mask"].pop()
    with pytest.raises(ExportError, match=r"expected equal lengths, got .*'pooling_mask'"):
        export(corpus.write(tmp_path), tmp_path / "export")
