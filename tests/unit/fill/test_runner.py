"""The loop of a fill job: attempts, stop signals, engines that die or refuse."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from cbdata.fill.backends.base import EngineDied
from cbdata.fill.runner import STOP_SIGNALS, StopFlag, Stopped
from cbdata.jsonl import read_records
from tests.unit.fill.world import ToyBackend, World, failing_after, request_facts


def test_more_attempts_later_go_on_where_the_earlier_ones_ended(world: World) -> None:
    first, second = ToyBackend(), ToyBackend()
    world.run(first, attempts=1)
    world.run(second, attempts=4)
    assert {request.attempt for request in first.seen} == {1}
    assert {request.attempt for request in second.seen} == {2, 3, 4}
    at_once = ToyBackend()
    World(world.folder / "at_once", world.tools, world.skeletons, world.settings).run(
        at_once, attempts=4
    )
    assert sorted(map(request_facts, first.seen + second.seen)) == sorted(
        map(request_facts, at_once.seen)
    )


def test_attempts_end_with_the_first_accepted_completion(world: World) -> None:
    backend = ToyBackend()
    files = world.merge([world.run(backend, attempts=3)])
    per_item = Counter((request.trace_id, request.mode) for request in backend.seen)
    for mode, part in files.items():
        for _, row in read_records(part.out):
            attempt = row["raw_metadata"]["generation"]["attempt"]
            assert per_item[row["links"]["parent_trace_ids"][0], mode] == attempt
        for _, row in read_records(part.rejects):
            assert per_item[row["record_id"], mode] == 3


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_flushes_and_stops(world: World, number: int) -> None:
    def before(generated: int) -> None:
        if generated == 40:
            os.kill(os.getpid(), number)

    backend = ToyBackend(before=before)
    handler = signal.getsignal(number)
    with (
        StopFlag() as stop,
        pytest.raises(
            Stopped,
            match=f"{signal.Signals(number).name} received; 44 completions of this run are kept",
        ) as stopped,
    ):
        world.run(backend, stop=stop)
    assert stopped.value.comes_back == (number == signal.SIGUSR1)
    assert signal.getsignal(number) == handler
    assert backend.closed and not (world.folder / "shards").exists()
    rest = ToyBackend()
    world.run(rest)
    assert len(backend.seen) == 44 and len(rest.seen) == 36


def test_a_signal_while_the_model_loads_stops_at_once() -> None:
    with StopFlag(), pytest.raises(Stopped, match="before generation began") as stopped:
        os.kill(os.getpid(), signal.SIGUSR1)
    assert not stopped.value.comes_back, "with nothing generated it could come back for ever"


def test_a_second_signal_does_not_break_into_the_stop() -> None:
    """A scheduler and the process that started this one may both send one."""
    with StopFlag() as stop:
        with pytest.raises(Stopped, match="SIGUSR1 received before"):
            os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_warning_behind_the_end_does_not_bring_a_job_back(number: signal.Signals) -> None:
    with StopFlag() as stop:
        stop.at_once = False
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.requested == number.name


def test_a_dead_engine_fails_the_job_and_keeps_what_was_done(world: World) -> None:
    with pytest.raises(EngineDied, match=r"out of memory\. 40 completions of this run are kept"):
        world.run(failing_after(40, EngineDied("out of memory")))
    rest = ToyBackend()
    world.run(rest)
    assert len(rest.seen) == 40


def test_an_engine_that_dies_of_the_stop_signal_counts_as_stopped(world: World) -> None:
    def before(generated: int) -> None:
        if generated >= 40:
            os.kill(os.getpid(), signal.SIGTERM)
            raise EngineDied("the engine got the signal too")

    with StopFlag() as stop, pytest.raises(Stopped):
        world.run(ToyBackend(before=before), stop=stop)


def test_a_refused_request_is_a_reject_and_stops_no_other(world: World) -> None:
    bad = world.ids()[4]
    files = world.merge([world.run(ToyBackend(refuse=(bad,)))])
    for part in files.values():
        refused = [
            row for _, row in read_records(part.rejects) if row["reason"] == "engine_refused"
        ]
        assert [row["record_id"] for row in refused] == [bad]
    again = ToyBackend()
    world.run(again)
    assert {request.trace_id for request in again.seen} == {bad}
