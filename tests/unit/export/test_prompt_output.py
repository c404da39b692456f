"""Plain prompt/output pairs, and twins as the original circuit-breaker code reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.export.prompt_output import export_prompt_output, prompt_output
from tests.records import Corpus, call, make_trace, message

NAMES = ("harmful", "benign", "train", "val")


def spans(*calls: tuple[int, int], content: tuple[tuple[int, int], ...] = ()) -> dict[str, Any]:
    """``completion_spans`` with these calls and pieces of prose."""
    places = [
        {"start": start, "end": end, "name_start": start, "name_end": end} for start, end in calls
    ]
    return {"thinking": [], "content": [list(piece) for piece in content], "calls": places}


def answered(raw: str | None, completion: dict[str, Any] | None = None, **changes: Any) -> Any:
    """A single-turn trace whose answer is a call, with what the model wrote."""
    hints = {"raw_assistant_content": raw, "completion_spans": completion}
    return make_trace(
        [message("user", "ask"), message("assistant", "", call("search_web"))],
        signal_hints={key: value for key, value in hints.items() if value is not None},
        **changes,
    )


def outputs(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.json" for name in NAMES}


def read(folder: Path) -> dict[str, Any]:
    return {name: orjson.loads(path.read_bytes()) for name, path in outputs(folder).items()}


def test_prompt_and_output_of_every_kind_of_trace() -> None:
    plain = make_trace(
        [message("system", "s"), message("user", "ask"), message("assistant", "answer")]
    )
    assert prompt_output(plain) == {"prompt": "ask", "output": "answer"}
    raw = '{"name": "search_web"}'
    assert prompt_output(answered(raw)) == {"prompt": "ask", "output": raw}
    assert prompt_output(answered(None)) == "call_text_not_kept"
    assert prompt_output(make_trace([message("user", "ask")], role="skeleton")) == "skeleton"
    several = [message("user", "ask"), message("assistant", "a"), message("user", "b")]
    assert prompt_output(make_trace(several)) == "not_single_turn"


@pytest.mark.parametrize(
    ("raw", "completion", "output"),
    [
        ("[call]<|im_end|>", spans((0, 6)), "[call]"),
        ("[call]<|eom_id|>\n", spans((0, 6)), "[call]"),
        ("<|python_tag|>[call]<|eot_id|>", spans((0, 20)), "<|python_tag|>[call]"),
        ("First. [call]</s>", spans((7, 13), content=((0, 6),)), "First. [call]"),
        ("[call] Done.<|im_end|>", spans((0, 6), content=((7, 12),)), "[call] Done."),
        ("It says <|im_end|> twice<|im_end|>", spans(content=((0, 24),)), None),
        ("<|im_end|>", spans(), "empty_output"),
    ],
)
def test_what_ends_the_turn_is_no_output(
    raw: str, completion: dict[str, Any], output: str | None
) -> None:
    found = prompt_output(answered(raw, completion))
    if output == "empty_output":
        assert found == output
        return
    expected = raw.removesuffix("<|im_end|>") if output is None else output
    assert found == {"prompt": "ask", "output": expected}


def test_text_at_which_the_reader_splits_is_refused() -> None:
    assert prompt_output(answered("a <SEPARATOR> b")) == "separator_in_text"
    asked = make_trace([message("user", "a<SEPARATOR>b"), message("assistant", "fine")])
    assert prompt_output(asked) == "separator_in_text"


def test_files_are_json_arrays_by_category(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    for trace in corpus.traces:
        trace["signal_hints"]["raw_assistant_content"] = f"</script>\n{trace['id']}"
    corpus.write(tmp_path)
    counts = export_prompt_output([corpus.trace_file, corpus.skeleton_file], outputs(tmp_path))
    assert counts == {
        "written": {"benign": 2, "harmful": 2},
        "splits": {"train": 4},
        "pairs": {"train": 1, "val": 1},
        "left_out": {"skeleton": 2},
        "pairs_left_out": {},
    }
    traces = [trace for trace in corpus.traces if trace["labels"]["category"] == "harmful"]
    assert read(tmp_path)["harmful"] == [
        {"prompt": trace["messages"][1]["content"], "output": f"</script>\n{trace['id']}"}
        for trace in traces
    ]


def test_twins_have_the_benign_answer_to_the_harmful_prompt(tmp_path: Path) -> None:
    corpus = Corpus(pairs=3, validation_pairs=2)
    for trace in corpus.traces:
        trace["signal_hints"]["raw_assistant_content"] = f"answer of {trace['id']}"
    alone = corpus.traces.pop(1)
    corpus.write(tmp_path)
    counts = export_prompt_output([corpus.trace_file], outputs(tmp_path))
    assert counts["pairs"] == {"train": 2, "val": 2}
    assert counts["pairs_left_out"] == {"without_twin": 1}
    by_id = {trace["id"]: trace for trace in corpus.traces}
    found = read(tmp_path)
    for name, split in (("train", "train"), ("val", "validation")):
        expected = [
            {
                "prompt": trace["messages"][1]["content"],
                "output": f"answer of {trace['id']}",
                "llama3_output": f"answer of {trace['links']['paired_trace_id']}",
            }
            for trace in by_id.values()
            if trace["labels"]["category"] == "harmful"
            and trace["split"] == split
            and trace["links"]["paired_trace_id"] != alone["id"]
        ]
        assert found[name] == expected


def test_one_pair_in_ten_is_held_back_where_all_are_for_training(tmp_path: Path) -> None:
    corpus = Corpus(pairs=12, validation_pairs=0)
    for trace in corpus.traces:
        trace["signal_hints"]["raw_assistant_content"] = trace["id"]
    corpus.write(tmp_path)
    counts = export_prompt_output([corpus.trace_file], outputs(tmp_path))
    assert counts["pairs"] == {"train": 10, "val": 2}
    found = read(tmp_path)
    harmful = [row["output"] for row in found["harmful"]]
    assert [row["output"] for row in found["val"]] == [harmful[1], harmful[11]]
    held_out = Corpus(pairs=0, validation_pairs=2)
    for trace in held_out.traces:
        trace["signal_hints"]["raw_assistant_content"] = trace["id"]
    held_out.write(tmp_path / "held_out")
    counts = export_prompt_output([held_out.trace_file], outputs(tmp_path))
    assert counts["pairs"] == {"val": 2}


def test_a_pair_needs_both_answers(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    for trace in corpus.traces[:3]:
        trace["signal_hints"]["raw_assistant_content"] = trace["id"]
    corpus.write(tmp_path)
    counts = export_prompt_output([corpus.trace_file], outputs(tmp_path))
    assert counts["pairs"] == {"train": 1}
    assert counts["pairs_left_out"] == {"call_text_not_kept": 1}


def test_no_pairs_give_empty_arrays(tmp_path: Path) -> None:
    corpus = Corpus(pairs=0, validation_pairs=0).write(tmp_path)
    export_prompt_output([corpus.trace_file], outputs(tmp_path))
    assert read(tmp_path) == {name: [] for name in NAMES}
