"""Finding one trace of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.lossmask.policies import PolicyError
from cbdata.lossmask.registry import load_registry
from cbdata.terminal.find import NotFoundError, find
from tests.records import Corpus

REGISTRY = load_registry()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(pairs=2, validation_pairs=0).write(tmp_path)


def test_a_trace_by_id_by_its_beginning_and_by_number(corpus: Corpus) -> None:
    mask, render = corpus.masks[2], corpus.renders[2]
    for wanted in (mask["trace_id"], mask["trace_id"][:-4], "3"):
        shown = find(corpus.folder, wanted, None, None, REGISTRY)
        assert shown.data == "demo"
        assert shown.trace["id"] == mask["trace_id"]
        assert shown.render["render_id"] == render["render_id"]
        assert (shown.mask, shown.policy) == (mask["loss_mask"], mask["policy_id"])


def test_another_policy_is_worked_out_from_the_render(corpus: Corpus) -> None:
    shown = find(corpus.folder, "1", "demo", "tool_calls_only", REGISTRY)
    trained = [index for index, weight in enumerate(shown.mask) if weight]
    call = corpus.renders[0]["alignment"]["tool_call_spans"][0]
    assert trained == list(range(call["token_start"], call["token_end"]))
    assert shown.policy == "tool_calls_only"


@pytest.mark.parametrize(
    ("wanted", "data", "message"),
    [
        ("trace_none", None, "trace_none: no loss mask of such a trace in demo. Hint: rejects/"),
        ("5", None, "demo has rows 1 to 4, not 5"),
        ("0", None, "demo has rows 1 to 4, not 0"),
        ("trace_", None, "trace_: 4 traces begin so"),
        ("1", "demmo", "--data demmo: no such data set; there are demo. Hint: did you mean demo"),
    ],
)
def test_what_is_not_there_is_named(
    corpus: Corpus, wanted: str, data: str | None, message: str
) -> None:
    with pytest.raises(NotFoundError) as error:
        find(corpus.folder, wanted, data, None, REGISTRY)
    assert str(error.value).startswith(message)


def test_a_folder_without_a_run_and_an_unknown_policy(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="name its output_base with --run"):
        find(tmp_path / "nothing", "1", None, None, REGISTRY)
    with pytest.raises(PolicyError, match="tool_calls_onli"):
        find(corpus.folder, "1", None, "tool_calls_onli", REGISTRY)


def test_a_mask_whose_render_is_gone(corpus: Corpus) -> None:
    corpus.renders = corpus.renders[1:]
    corpus.write(corpus.folder)
    with pytest.raises(NotFoundError, match=r"renders/demo.jsonl: no record with render_id"):
        find(corpus.folder, "1", None, None, REGISTRY)
