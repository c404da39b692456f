"""Every check passes on good files, and each kind of damage fails exactly the checks that are about
it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.validation.findings import CHECKS, ValidationFailed, require_passed
from cbdata.validation.run import validate
from tests.records import Corpus, call, make_mask, make_render, make_trace, message, write_jsonl


def add_stats(corpus: Corpus, folder: Path) -> None:
    """Rejects and stats of a loss mask stage that rejected nothing."""
    write_jsonl(folder / "rejects/lossmask/demo.jsonl", [])
    counts = {
        "records_in": len(corpus.masks),
        "records_out": len(corpus.masks),
        "rejected": 0,
        "duplicates": 0,
        "not_selected": 0,
        "headers": 0,
    }
    stats = {
        "stage": "lossmask",
        "name": "demo",
        "counts": counts,
        "rejected_by_reason": {},
        "details": {},
    }
    write_jsonl(folder / "stats/lossmask/demo.json", [stats])


def failed(folder: Path) -> set[str]:
    findings = validate([folder])
    return {name for name, result in findings.results.items() if result.failed}


def test_good_files_pass_every_check(tmp_path: Path) -> None:
    corpus = Corpus(pairs=4)
    add_stats(corpus.write(tmp_path), tmp_path)
    findings = validate([tmp_path])
    assert findings.failed == 0, findings.table()
    not_checked = {name for name, result in findings.results.items() if not result.checked}
    assert not_checked == {"reject_schema", "split_injections"}
    assert findings.records == {
        "traces": 15,
        "renders": 10,
        "lossmasks": 10,
        "rejects": 0,
        "stats": 1,
    }


def test_a_skeleton_that_was_cut_has_turns_of_the_model_before_its_end(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1)
    corpus.skeletons[0].update(
        messages=[
            *corpus.skeletons[0]["messages"],
            message("assistant", "Yes."),
            message("user", "And?"),
        ],
        decision_point={"message_index": 4, "source_pipelines": ["m"], "kind": "clean"},
    )
    add_stats(corpus.write(tmp_path), tmp_path)
    assert failed(tmp_path) == set()


Damage = Callable[[Corpus], Any]
BROKEN: dict[str, tuple[Damage, set[str]]] = {
    "unknown field in a trace": (
        lambda c: c.traces[0].update(extra=1),
        {"trace_schema", "render_join", "lossmask_join"},
    ),
    "trace twice": (lambda c: c.traces.append(c.traces[0]), {"trace_id_unique"}),
    "answer to no call": (
        lambda c: c.skeletons[0]["messages"].append(
            message("tool", "x") | {"tool_call_id": "none"}
        ),
        {"trace_calls"},
    ),
    "call id twice": (
        lambda c: c.traces[0]["messages"][2]["tool_calls"].extend([call("a"), call("a")]),
        {"trace_calls"},
    ),
    "skeleton that is complete": (
        lambda c: c.skeletons[0].update(completeness="complete"),
        {"trace_completeness"},
    ),
    "skeleton that was cut and ends with an answer": (
        lambda c: c.skeletons[0].update(
            messages=[*c.skeletons[0]["messages"], message("assistant", "Yes.")],
            decision_point={"message_index": 1, "source_pipelines": [], "kind": "clean"},
        ),
        {"trace_completeness"},
    ),
    "resisted attack called harmful": (
        lambda c: c.traces[0]["labels"].update(attack_succeeded=False),
        {"trace_labels"},
    ),
    "success without attack": (
        lambda c: c.traces[0]["labels"].update(attack_present=False),
        {"trace_labels"},
    ),
    "injection past the end": (
        lambda c: c.skeletons[0]["signal_hints"]["injection_char_span"].update(char_end=10_000),
        {"trace_injection_span"},
    ),
    "twin of another skeleton": (
        lambda c: c.traces[0]["links"].update(parent_trace_ids=["x"]),
        {"trace_twins", "lossmask_trace"},
    ),
    "render of no trace": (lambda c: c.traces.pop(0), {"render_join", "lossmask_join"}),
    "render twice": (lambda c: c.renders.append(c.renders[0]), {"render_id_unique"}),
    "trace rendered twice": (
        lambda c: c.renders.append(c.renders[0] | {"render_id": "render_" + "0" * 32}),
        {"render_join", "lossmask_complete"},
    ),
    "attention mask too short": (
        lambda c: c.renders[0]["attention_mask"].pop(),
        {"render_lengths"},
    ),
    "longer than max_length": (
        lambda c: c.renders[0]["render_options"].update(max_length=3),
        {"render_lengths"},
    ),
    "assistant span that is none": (
        lambda c: c.renders[0]["alignment"]["assistant_spans"].pop(),
        {"render_spans"},
    ),
    "name outside its call": (
        lambda c: c.renders[0]["alignment"]["tool_call_spans"][0].update(name_token_start=0),
        {"render_spans"},
    ),
    "commitment outside its call": (
        lambda c: c.renders[0]["signals"]["action_commitments"][0].update(commitment_token_idx=0),
        {"render_spans"},
    ),
    "prompt hash of another prompt": (
        lambda c: c.renders[0]["prompt"].update(sha256="0" * 64),
        {"render_prompt"},
    ),
    "mask of no render": (lambda c: c.renders.pop(0), {"lossmask_join"}),
    "mask left out": (lambda c: c.masks.pop(0), {"lossmask_complete", "conservation"}),
    "mask twice": (
        lambda c: c.masks.append(c.masks[0]),
        {"lossmask_id_unique", "lossmask_join", "conservation"},
    ),
    "mask of another trace": (
        lambda c: c.masks[0].update(trace_id=c.traces[1]["id"]),
        {"lossmask_join", "lossmask_trace"},
    ),
    "labels shifted by one": (
        lambda c: c.masks[0]["labels"].append(c.masks[0]["labels"].pop(0)),
        {"lossmask_labels"},
    ),
    "labels too short": (lambda c: c.masks[0]["labels"].pop(), {"lossmask_lengths"}),
    "counts that are not the mask's": (
        lambda c: c.masks[0]["stats"].update(unmasked_tokens=1),
        {"lossmask_stats"},
    ),
    "weight that is not the trace's": (
        lambda c: c.masks[0].update(sample_weight=0.5),
        {"lossmask_weights"},
    ),
    "weight 0 not said": (
        lambda c: c.masks[0].update(sample_weight=0.0, class_weight=0.0),
        {"lossmask_weights"},
    ),
    "category of the other twin": (
        lambda c: c.masks[0].update(category="benign"),
        {"lossmask_trace"},
    ),
    "weight above 1": (
        lambda c: c.masks[0]["loss_mask"].__setitem__(0, 2.0),
        {"lossmask_schema", "lossmask_complete"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damage_fails_the_checks_about_it(tmp_path: Path, name: str) -> None:
    damage, expected = BROKEN[name]
    corpus = Corpus(pairs=2)
    add_stats(corpus, tmp_path)
    damage(corpus)
    corpus.write(tmp_path)
    assert failed(tmp_path) == expected


def repaint(corpus: Corpus, changes: dict[int, float]) -> None:
    """Change weights of the first mask and keep labels and counts consistent, as a wrong policy
    would.
    """
    mask, ids = corpus.masks[0], corpus.renders[0]["input_ids"]
    for position, weight in changes.items():
        mask["loss_mask"][position] = weight
    mask["labels"] = [
        token if weight > 0 else -100 for token, weight in zip(ids, mask["loss_mask"], strict=True)
    ]
    trained, total = sum(weight > 0 for weight in mask["loss_mask"]), len(ids)
    mask["stats"] = {
        "total_tokens": total,
        "masked_tokens": total - trained,
        "unmasked_tokens": trained,
        "mask_ratio": (total - trained) / total,
    }


def test_loss_on_a_user_turn_is_outside_the_roles(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    repaint(corpus, {corpus.renders[0]["alignment"]["message_spans"][1]["content_start"]: 1.0})
    assert failed(corpus.write(tmp_path).folder) == {"lossmask_roles", "lossmask_policy"}


def test_a_header_token_with_loss_is_outside_the_roles(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    repaint(corpus, {corpus.renders[0]["alignment"]["assistant_spans"][0]["token_start"] - 1: 1.0})
    assert failed(corpus.write(tmp_path).folder) == {"lossmask_roles", "lossmask_policy"}


def test_a_lost_end_of_turn_token_is_not_the_policy(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    repaint(corpus, {corpus.renders[0]["alignment"]["assistant_spans"][0]["token_end"] - 1: 0.0})
    assert failed(corpus.write(tmp_path).folder) == {"lossmask_policy"}


def test_an_empty_mask_is_found(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    repaint(corpus, dict.fromkeys(range(len(corpus.renders[0]["input_ids"])), 0.0))
    assert failed(corpus.write(tmp_path).folder) == {"lossmask_policy", "lossmask_not_empty"}


def test_a_turn_cut_after_its_header_has_no_span(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    render = corpus.renders[1]
    turn = render["alignment"]["message_spans"][-1]
    render["alignment"] |= {"assistant_spans": [], "tool_call_spans": []}
    render["signals"]["action_commitments"] = []
    del render["prompt"]
    length = turn["content_start"]
    turn |= {"token_end": length, "content_end": length}
    render["special_tokens"]["eos_positions"] = [
        position for position in render["special_tokens"]["eos_positions"] if position < length
    ]
    render |= {
        "input_ids": render["input_ids"][:length],
        "attention_mask": [1] * length,
        "sequence_length": length,
    }
    corpus.masks[1] = make_mask(corpus.traces[1], render, "assistant_only")
    assert failed(corpus.write(tmp_path).folder) == {"lossmask_not_empty"}


def test_a_prompt_that_the_model_did_not_see_is_found(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    generation = {
        "model": "m",
        "backend": "vllm",
        "temperature": 0.7,
        "max_tokens": 9,
        "seed": 1,
        "attempt": 1,
        "finish_reason": "stop",
    }
    corpus.traces[0]["raw_metadata"]["generation"] = generation | {"prompt_sha256": "0" * 64}
    render = corpus.renders[0]
    own = render["input_ids"][render["prompt"]["length"] :]
    corpus.traces[0]["raw_metadata"]["generation"]["completion_token_ids"] = own
    assert failed(corpus.write(tmp_path / "template").folder) == set()
    render["on_policy"] = True
    render["render_options"]["completion_tokens"] = "generated"
    assert failed(corpus.write(tmp_path / "generated").folder) == {"render_prompt"}


def test_a_policy_of_ones_own_is_noted_and_the_rest_is_checked(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1)
    corpus.masks[0]["policy_id"] = "mine"
    findings = validate([corpus.write(tmp_path).folder])
    assert findings.failed == 0
    assert any("'mine'" in note for note in findings.notes)
    assert findings.results["lossmask_roles"].checked == len(corpus.masks) - 1


def test_several_policies_of_the_same_renders(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2).write(tmp_path)
    other = [
        make_mask(trace, render, "tool_calls_only")
        for trace, render in zip(corpus.traces, corpus.renders, strict=True)
    ]
    write_jsonl(tmp_path / "lossmasks/by_policy/tool_calls_only/demo.jsonl", other)
    assert failed(tmp_path) == set()


def test_parts_of_a_set_are_checked_as_far_as_they_go(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2).write(tmp_path)
    findings = validate([corpus.mask_file])
    assert findings.failed == 0
    assert findings.results["lossmask_stats"].checked == len(corpus.masks)
    assert findings.results["lossmask_labels"].checked == 0
    assert {note.split(":")[0] for note in findings.notes} == {
        "joins with traces",
        "joins with renders",
    }


def test_a_masked_file_that_is_empty_misses_every_render(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    corpus.masks = []
    add_stats(corpus, tmp_path)
    assert failed(corpus.write(tmp_path).folder) == {"lossmask_complete"}


def test_rejected_renders_need_no_mask(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    lost = corpus.masks.pop()
    corpus.write(tmp_path)
    reject = {
        "stage": "lossmask",
        "file": "demo.jsonl",
        "line": 1,
        "record_id": lost["render_id"],
        "reason": "empty_mask",
        "detail": "",
    }
    write_jsonl(tmp_path / "rejects/lossmask/demo.jsonl", [reject])
    assert failed(tmp_path) == set()


def test_calls_in_parallel_and_tool_turns(tmp_path: Path) -> None:
    corpus = Corpus(pairs=0, validation_pairs=0)
    calls = [call("send", to="a"), call("read", file="b")]
    turns = [
        message("user", "go"),
        message("assistant", "both", *calls),
        message("tool", "ok") | {"tool_call_id": calls[1]["call_id"]},
        message("assistant", "done"),
    ]
    corpus.traces = [make_trace(turns)]
    corpus.renders = [make_render(corpus.traces[0], corpus.vocabulary)]
    corpus.masks = [
        make_mask(corpus.traces[0], corpus.renders[0], policy) for policy in ("assistant_only",)
    ]
    assert failed(corpus.write(tmp_path).folder) == set()


def run_command(repo: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, repo / "workflow/scripts/validate_files.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_tells_by_its_exit_status(tmp_path: Path, repo: Path) -> None:
    corpus = Corpus(pairs=1).write(tmp_path / "good")
    good = run_command(repo, tmp_path / "good", "--json", tmp_path / "result.json")
    assert good.returncode == 0, good.stderr
    assert orjson.loads((tmp_path / "result.json").read_bytes())["passed"] is True
    assert all(name in good.stdout for name in CHECKS)
    corpus.masks[0]["labels"][0] = 7
    corpus.write(tmp_path / "bad")
    bad = run_command(repo, tmp_path / "bad")
    assert bad.returncode == 1
    assert "demo.jsonl:1: lossmask_" in bad.stdout and "FAILED: 1 failures" in bad.stdout
    (tmp_path / "cut.jsonl").write_text('{"messages": [')
    assert run_command(repo, tmp_path / "cut.jsonl").returncode == 1
    missing = run_command(repo, tmp_path / "nothing")
    assert missing.returncode == 2 and "does not exist" in missing.stderr


def weigh(corpus: Corpus, place: int, loss: float) -> None:
    """Give the last turn of a trace a weight of its own, and its mask accordingly."""
    trace, render = corpus.traces[place], corpus.renders[place]
    index = len(trace["messages"]) - 1
    trace["messages"][index]["loss"] = loss
    corpus.masks[place] = make_mask(trace, render, weight=loss) | {
        "message_losses": [{"message_index": index, "loss": loss}]
    }


def test_weights_of_turns_are_those_of_the_trace(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    weigh(corpus, 0, 0.5)
    assert failed(corpus.write(tmp_path / "good").folder) == set()
    findings = validate([corpus.render_file, corpus.mask_file])
    assert findings.failed == 0  # the row itself says what its weights were multiplied by
    corpus.traces[0]["messages"][-1]["loss"] = 0.25
    assert failed(corpus.write(tmp_path / "changed").folder) == {"lossmask_trace"}
    del corpus.masks[0]["message_losses"]
    assert failed(corpus.write(tmp_path / "unsaid").folder) == {"lossmask_trace", "lossmask_policy"}


def test_the_weight_of_reasoning_is_the_row_s(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    render, mask = corpus.renders[0], corpus.masks[0]
    turn = render["alignment"]["assistant_spans"][-1]
    first = turn["token_start"]
    thought = {"message_index": turn["message_index"], "token_start": first, "token_end": first + 1}
    render["alignment"]["thinking_spans"] = [thought]
    mask["loss_mask"][first] = 0.5
    mask["thinking_weight"] = 0.5
    assert failed(corpus.write(tmp_path / "good").folder) == set()
    del mask["thinking_weight"]
    assert failed(corpus.write(tmp_path / "unsaid").folder) == {"lossmask_policy"}


def pool(corpus: Corpus, policy: str = "tool_calls_only") -> None:
    """Give every mask a second one."""
    for trace, render, mask in zip(corpus.traces, corpus.renders, corpus.masks, strict=True):
        mask |= {
            "pooling_mask": make_mask(trace, render, policy)["loss_mask"],
            "pooling_policy_id": policy,
            "pooling_policy_version": "1.0.0",
            "pooling_policy_params": {},
        }


@pytest.mark.parametrize(
    ("damage", "checks"),
    [
        (lambda mask: None, set()),
        (lambda mask: mask["pooling_mask"].pop(), {"lossmask_lengths"}),
        (
            lambda mask: mask.update(pooling_mask=[0.0] * len(mask["pooling_mask"])),
            {"lossmask_not_empty", "lossmask_policy"},
        ),
        (
            lambda mask: mask["pooling_mask"].__setitem__(0, 1.0),
            {"lossmask_roles", "lossmask_policy"},
        ),
        (lambda mask: mask.pop("pooling_policy_id"), {"lossmask_schema"}),
        (lambda mask: mask.pop("pooling_mask"), {"lossmask_schema"}),
    ],
)
def test_the_second_mask_is_checked_like_the_first(
    tmp_path: Path, damage: Callable[[dict[str, Any]], Any], checks: set[str]
) -> None:
    corpus = Corpus(pairs=2)
    pool(corpus)
    damage(corpus.masks[0])
    assert failed(corpus.write(tmp_path).folder) - {"lossmask_complete"} == checks


def test_every_violation_of_a_bad_row_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "foreign.jsonl"
    write_jsonl(path, [{"messages": [{"role": "bot", "content": None}], "colour": "red\nline"}])
    findings = validate([path])
    (example,) = findings.results["trace_schema"].examples
    required = ("id", "completeness", "tier", "split", "source", "task", "labels", "training")
    for name in (*required, "links", "signal_hints", "raw_metadata", "bot", "null", "colour"):
        assert name in example, name
    assert "messages/0/role" in example and "messages/0/content" in example
    assert example.isprintable()


def test_one_file_is_validated_without_a_run(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "workflow/scripts/validate_files.py"
    good, bad = tmp_path / "mine.jsonl", tmp_path / "bad.jsonl"
    write_jsonl(good, [make_trace([message("user", "Hi."), message("assistant", "Hello.")])])
    write_jsonl(bad, [{"messages": []}])
    for path, status in ((good, 0), (bad, 1)):
        done = subprocess.run(
            [sys.executable, script, path], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert ("PASSED (1 traces)" in done.stdout) == (status == 0)


def test_files_that_no_check_can_use_are_results_and_stop_nothing(tmp_path: Path) -> None:
    """A length that no memory holds, a reason that is no word, a stats file without a byte."""
    corpus = Corpus()
    corpus.renders[0]["sequence_length"] = 10**9
    add_stats(corpus.write(tmp_path), tmp_path)
    reject = {"stage": "lossmask", "file": "f", "line": 1, "record_id": None, "detail": ""}
    write_jsonl(tmp_path / "rejects/lossmask/demo.jsonl", [{**reject, "reason": ["a", "list"]}])
    (tmp_path / "stats/render").mkdir()
    (tmp_path / "stats/render/demo.json").write_text("")
    assert failed(tmp_path) == {"render_lengths", "reject_schema", "conservation", "file_readable"}


def test_the_verdict_names_what_failed_and_the_table(tmp_path: Path) -> None:
    corpus = Corpus()
    table, data = tmp_path / "validation.txt", tmp_path / "validation.json"
    corpus.write(tmp_path / "run")
    data.write_bytes(orjson.dumps(validate([tmp_path / "run"]).as_dict()))
    assert require_passed(data, table) == f"every check passed: {table}"
    for mask in corpus.masks[:2]:
        mask["labels"][0] += 1
    corpus.write(tmp_path / "run")
    data.write_bytes(orjson.dumps(validate([tmp_path / "run"]).as_dict()))
    with pytest.raises(ValidationFailed) as caught:
        require_passed(data, table)
    assert str(caught.value).startswith("validation failed: lossmask_labels 2. First: ")
    assert "demo.jsonl:1: " in str(caught.value) and f"All of them: {table}." in str(caught.value)
