"""Several JSON Lines files of a kind are one data set, whichever comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.features import KINDS, features
from cbdata.schemas import load_schema
from tests.records import Corpus, call, make_mask, make_render, make_trace, message, write_jsonl


def bare(value: Any) -> Any:
    """A value without the keys of its objects that hold nothing, to the decimals that are kept."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        found = {key: bare(each) for key, each in value.items()}
        return {key: each for key, each in found.items() if each not in (None, {}, [])}
    return [bare(each) for each in value] if isinstance(value, list) else value


def loaded(kind: str, files: list[Path]) -> list[dict[str, Any]]:
    from datasets import load_dataset

    names = [str(path) for path in files]
    return list(load_dataset("json", data_files=names, features=features(kind), split="train"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Path]]:
    """Two files of each kind, of which the second has what the first has nowhere."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    corpus = Corpus(pairs=1, validation_pairs=0)
    twins = corpus.traces
    for trace in twins:
        trace["labels"]["capability_category"] = "mail"
        trace["source"]["record_locator"] = {"kind": "line", "value": 7}
        trace["raw_metadata"]["source_fields"] = {"score": 0.5, "tags": ["a"]}
    turns = [
        message("user", "</script> <|im_end|> {x}"),
        message("assistant", "", call("send", to=["a", "b"], count=1)),
        message("assistant", "", call("pay", amount=0.1, to={"iban": None, "name": "é"})),
    ]
    alone = make_trace(turns)
    alone["source"]["record_locator"] = {"kind": "file", "value": "12/x.json"}
    alone["source"]["model_id"] = None
    render = make_render(alone, corpus.vocabulary)
    mask = make_mask(alone, render) | {"pair_id": None, "policy_params": {"weight": 0.5}}
    reject = {"stage": "fill", "file": "x", "line": 1, "record_id": None, "reason": "r"}
    rejects = [reject | {"detail": "", "raw": raw} for raw in ({"a": 1}, "text", ["é", None])]
    rows = {
        "trace_v1": ([alone], twins),
        "render_v1": ([render], corpus.renders),
        "lossmask_v1": ([mask], corpus.masks),
        "reject_v1": (rejects[:1], [*rejects[1:], reject | {"detail": "", "line": None}]),
    }
    return {
        kind: [write_jsonl(tmp_path / f"{kind}_{n}.jsonl", each) for n, each in enumerate(parts)]
        for kind, parts in rows.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_kind_load_together_and_come_back_as_they_were(
    kind: str, files: dict[str, list[Path]]
) -> None:
    for order in (files[kind], files[kind][::-1]):
        expected = [orjson.loads(line) for path in order for line in path.read_bytes().splitlines()]
        for one, other in zip(loaded(kind, order), expected, strict=True):
            for key in other:
                assert bare({key: one[key]}) == bare({key: other[key]})


@pytest.mark.parametrize("kind", KINDS)
def test_the_columns_are_the_fields_of_the_schema(kind: str) -> None:
    assert list(features(kind)) == list(load_schema(kind)["properties"])


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a kind of records .*got 'stats_v1'"):
        features("stats_v1")
