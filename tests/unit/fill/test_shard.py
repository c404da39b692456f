"""One shard from its job to its file: what of an earlier job is used again, and what the engine is
opened with.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from cbdata.fill import devices
from cbdata.fill.models import LocalModel
from cbdata.fill.shard import engine_context
from tests.unit.fill.world import MODEL, ToyBackend, World, failing_after, request_facts


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
    assert b'"pid"' in locked[0] and world.job().lock_files[0].read_bytes() == b""
