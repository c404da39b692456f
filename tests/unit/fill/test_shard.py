"""One shard from its job to its file: what of an earlier job is used again, and what the engine is
opened with.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.fill import devices
from cbdata.fill.models import LocalModel
from cbdata.fill.row_file import read_rows
from cbdata.fill.shard import engine_context
from cbdata.tools import ToolSchema
from tests.unit.fill.world import (
    MODEL,
    ToyBackend,
    World,
    failing_after,
    request_facts,
    write_skeletons,
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the project catches it."""


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 3), (3, 1), (2, 5)])
def test_killed_in_the_middle_then_resumed_with_another_layout_generates_once(
    world: World, first: int, second: int
) -> None:
    whole = ToyBackend()
    reference = World(world.folder / "reference", world.tools, world.skeletons, world.settings)
    expected = reference.merge([reference.run(whole, attempts=3)])
    sent = []
    for shard in range(first):
        backend = failing_after(len(whole.seen) // (2 * first), Killed())
        with pytest.raises(Killed):
            world.run(backend, shard, first, attempts=3)
        sent += backend.seen
    shards = []
    for shard in range(second):
        backend = ToyBackend()
        shards.append(world.run(backend, shard, second, attempts=3))
        sent += backend.seen
    assert Counter(map(request_facts, sent)) == Counter(map(request_facts, whole.seen))
    for mode, part in world.merge(shards).items():
        assert part.out.read_bytes() == expected[mode].out.read_bytes()


def test_a_finished_shard_needs_no_engine_even_if_it_is_judged_anew(world: World) -> None:
    world.run(ToyBackend())
    backend = ToyBackend()
    out = world.run(backend, strict_arguments=True, ds_criterion="any_wrong_tool")
    assert backend.seen == [] and out.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"temperature_ds": 0.5, "temperature_dr": 0.5},
        {"seed": 8},
        {"max_tokens": 255},
        {"top_p": 0.9},
        {"dtype": "float32"},
        {"quantization": "fp8"},
        {"kv_cache_dtype": "fp8"},
        {"speculative": {"method": "ngram", "num_speculative_tokens": 4}},
        {"engine_args": {"block_size": 64}},
        {"use_vllm": False},
        {"ds_system_suffix": "Obey.", "dr_system_suffix": "Beware."},
    ],
)
def test_a_change_of_prompt_or_sampling_makes_old_entries_unused(
    world: World, change: dict[str, Any]
) -> None:
    world.run(ToyBackend())
    backend = ToyBackend()
    world.run(backend, **change)
    assert len(backend.seen) == 80


def test_a_change_of_the_models_weights_makes_old_entries_unused(world: World) -> None:
    world.run(ToyBackend())
    backend = ToyBackend()
    world.run(backend, model=LocalModel(MODEL.path, None, "other weights", MODEL.context))
    assert len(backend.seen) == 80


def test_a_change_of_one_mode_leaves_the_other(world: World) -> None:
    world.run(ToyBackend())
    backend = ToyBackend()
    world.run(backend, temperature_ds=0.5)
    assert {request.mode for request in backend.seen} == {"ds"} and len(backend.seen) == 40


def test_the_engine_is_opened_with_what_the_job_needs(world: World) -> None:
    backend = ToyBackend()
    world.run(backend, dtype="float16")
    assert backend.opened is not None
    longest = max(len(request.prompt_ids) for request in backend.seen) + world.settings.max_tokens
    assert backend.opened.max_model_len == engine_context(longest, MODEL.context)
    assert (backend.opened.model, backend.opened.dtype, backend.opened.seed) == (
        MODEL.path,
        "float16",
        world.settings.seed,
    )
    assert {request.grammar for request in backend.seen} == {None} and backend.closed


@pytest.mark.parametrize(("flags", "dtype"), [((), "float32"), (("amx_bf16",), "bfloat16")])
def test_on_a_cpu_the_weight_type_is_its_own_and_completions_of_another_are_unused(
    world: World, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], dtype: str
) -> None:
    monkeypatch.setattr(devices, "processor", lambda: ("CPU", flags))
    for given, sent in (("auto", 80), (dtype, 0), ("float16", 80)):
        backend = ToyBackend()
        world.run(backend, device="cpu", dtype=given)
        assert len(backend.seen) == sent
        if given == "auto":
            assert backend.opened is not None
            assert (backend.opened.dtype, backend.opened.device) == (dtype, "cpu")


def test_the_engine_is_told_where_a_turn_ends_and_completions_depend_on_it(world: World) -> None:
    world.run(ToyBackend())
    backend = ToyBackend()
    world.calls = replace(world.calls, stop_token_ids=(10, 20))
    world.run(backend)
    assert backend.opened is not None and backend.opened.stop_token_ids == (10, 20)
    assert len(backend.seen) == 80


def test_the_engines_context_is_what_the_job_needs_within_the_models() -> None:
    assert engine_context(855 + 256, 131072) == 1280
    assert engine_context(1280, 131072) == 1280
    assert engine_context(2000, 2010) == 2010


def test_a_shard_is_done_under_its_lock(world: World) -> None:
    locked = []

    def before(generated: int) -> None:
        locked.append(world.job().lock_files[0].read_bytes())

    world.run(ToyBackend(before=before))
    assert b'"pid"' in locked[0] and not world.job().lock_files[0].exists()


def second_set(world: World, tools: ToolSchema, count: int = 12) -> World:
    """The world with another set beside its own."""
    folder = world.folder / "second"
    folder.mkdir()
    written = write_skeletons(folder, tools, 40 + count)
    lines = written.read_bytes().splitlines(keepends=True)[40:]
    path = folder / "other_skeletons.jsonl"
    path.write_bytes(b"".join(lines))
    return replace(world, more=(path,))


def outputs(world: World, shard: int = 0, shards: int = 1) -> list[Path]:
    return [Path(part.output) for part in world.job(shard, shards).sets]


def test_one_engine_completes_all_sets_one_after_the_other(
    world: World, b4_tools: ToolSchema
) -> None:
    both, backend = second_set(world, b4_tools), ToyBackend(cached=5)
    both.run(backend)
    assert len(backend.seen) == 80 + 24
    assert [request.set_index for request in backend.seen] == [0] * 80 + [1] * 24
    own, other = outputs(both)
    rows = {path: [row for _, row in read_rows(path)] for path in (own, other)}
    assert [len(rows[path]) for path in (own, other)] == [81, 25]
    works = [rows[path][-1] for path in (own, other)]
    assert [work["generated"] for work in works] == [80, 24]
    assert [work["cached_prompt_tokens"] for work in works] == [400, 120]
    assert works[0]["load_seconds"] == works[1]["load_seconds"]
    alone = World(world.folder / "alone", world.tools, world.skeletons, world.settings)
    assert rows[own][:-1] == [row for _, row in read_rows(alone.run(ToyBackend()))][:-1]


@pytest.mark.parametrize("killed_after", [30, 90])
def test_a_job_of_two_sets_that_was_killed_generates_the_rest_of_both(
    world: World, b4_tools: ToolSchema, killed_after: int
) -> None:
    both = second_set(world, b4_tools)
    backend = failing_after(killed_after, Killed())
    with pytest.raises(Killed):
        both.run(backend)
    sent = list(backend.seen)
    assert not any(path.exists() for path in outputs(both))
    for shard in range(3):
        rest = ToyBackend()
        both.run(rest, shard, 3)
        sent += rest.seen
    # Also what one set has stored is found where it is completed alone.
    alone = ToyBackend()
    replace(both, more=()).run(alone)
    assert alone.seen == []
    assert len(sent) == 104 and len(set(map(request_facts, sent))) == 104
    merged = both.merge(
        [outputs(both, shard, 3)[1] for shard in range(3)], skeletons=both.more[0], into="second"
    )
    counts = orjson.loads(merged["ds"].stats.read_bytes())["counts"]
    assert counts["records_in"] == 12


def test_a_skeleton_of_two_sets_is_completed_in_the_first(
    world: World, b4_tools: ToolSchema
) -> None:
    both = second_set(world, b4_tools, 3)
    lines = world.skeletons.read_bytes().splitlines(keepends=True)
    both.more[0].write_bytes(b"".join([*lines[:2], both.more[0].read_bytes()]))
    backend = ToyBackend()
    both.run(backend)
    assert len(backend.seen) == 80 + 6
    rows = [row for _, row in read_rows(outputs(both)[1])]
    assert [row["row"] for row in rows[:5]] == ["duplicate"] * 4 + [rows[4]["row"]]
    merged = both.merge([outputs(both)[1]], skeletons=both.more[0])
    counts = orjson.loads(merged["dr"].stats.read_bytes())["counts"]
    assert counts["records_in"] == 5 and counts["duplicates"] == 2


def test_a_job_holds_the_lock_of_every_set(world: World, b4_tools: ToolSchema) -> None:
    both = second_set(world, b4_tools)
    locked: list[bytes] = []

    def before(generated: int) -> None:
        locked.extend(file.read_bytes() for file in both.job().lock_files)

    both.run(ToyBackend(before=before))
    assert len(set(both.job().lock_files)) == 2 and all(b'"pid"' in holder for holder in locked)
    assert not any(file.exists() for file in both.job().lock_files)


def test_an_empty_set_beside_another_gives_a_whole_file(world: World, b4_tools: ToolSchema) -> None:
    both = second_set(world, b4_tools)
    both.more[0].write_bytes(b"")
    both.run(ToyBackend())
    assert [row["row"] for _, row in read_rows(outputs(both)[1])] == ["run"]
