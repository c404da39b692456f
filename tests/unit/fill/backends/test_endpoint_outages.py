"""Outages that look like faults of a request: what is well again afterwards is completed, and what
stays wrong ends the job.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from cbdata.fill.backends import endpoint_backend
from cbdata.fill.backends.base import EngineAway, EngineDied, Refusal
from cbdata.fill.backends.endpoint_backend import EndpointBackend
from tests.scripted_server import Handler, Script, answer, serving
from tests.unit.fill.backends.test_endpoint_backend import (
    OtherRoot,
    Rooted,
    check_all_right,
    complete,
    ends_the_connection,
    options,
    short_waits,
)

__all__ = ["short_waits"]  # a fixture for every test here


def test_a_hang_that_ends_while_it_is_being_looked_at_refuses_nothing() -> None:
    """A gateway holds every request, and gives up on it; then all is well."""
    until = time.monotonic() + 1.0

    def held(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
        handler.say(504, {"error": "gateway time-out"})
        return True

    with serving(Script(fault=held)) as url:
        check_all_right(complete(options(url, endpoint_patience=30), 8), 8)


def test_a_list_of_models_that_fails_says_nothing_of_a_request() -> None:
    fails = [5]

    class FailingList(Handler):
        def do_GET(self) -> None:
            if self.path == "/v1/models" and self.script.seen and fails[0] > 0:
                fails[0] -= 1
                self.say(500, {"error": "the list"})
            else:
                super().do_GET()

    def lost_once(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if before or body["seed"]:
            return False
        ends_the_connection(handler)
        return True

    with serving(Script(fault=lost_once), handler=FailingList) as url:
        check_all_right(complete(options(url, endpoint_patience=30), 2), 2)
    assert fails[0] == 0


def test_a_router_that_has_no_model_for_a_while_is_waited_for() -> None:
    empty = [3]

    class Router(Handler):
        def do_GET(self) -> None:
            if self.path == "/v1/models" and self.script.seen and empty[0] > 0:
                empty[0] -= 1
                self.say(200, {"data": []})
            else:
                super().do_GET()

    def away_once(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if before or body["seed"]:
            return False
        handler.say(502, {"error": "no upstream"})
        return True

    with serving(Script(fault=away_once), handler=Router) as url:
        check_all_right(complete(options(url, endpoint_patience=30), 4), 4)
    assert empty[0] == 0


@pytest.mark.parametrize("number", [500, 503])
def test_a_server_that_refuses_requests_and_cannot_be_asked_ends_the_job(number: int) -> None:
    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        handler.say(400 if len(body["prompt"]) > 1 else number, {"error": "no"})
        return True

    with (
        serving(Script(fault=fault)) as url,
        pytest.raises(EngineAway, match="no server answered"),
    ):
        complete(options(url, endpoint_patience=0.2), 2)


def test_servers_with_different_models_behind_one_name_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(Script(), handler=Rooted) as one, serving(Script(), handler=OtherRoot) as other:
        engine = EndpointBackend().open(options(one, other))
        engine.close()
    assert f"{other}/v1 serves b and {one}/v1 serves a: is it the same model?" in caplog.text


def test_a_request_that_is_cut_each_time_is_refused_though_it_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tries take longer than the patience, in which the server was seen to complete others."""
    now = [0.0]
    monkeypatch.setattr(endpoint_backend, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def cut(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if len(body["prompt"]) == 1:
            return False
        now[0] += 150
        handler.say(504, {"error": "it takes too long"})
        return True

    with serving(Script(fault=cut)) as url:
        (refused,) = complete(options(url, endpoint_patience=900), 1)
    assert isinstance(refused, Refusal) and "failed 8 times" in refused.detail


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_ids": None}, "returns no token ids"),
        ({"prompt_token_ids": [339]}, "completed another prompt"),
    ],
)
def test_a_server_is_tried_before_it_is_sent_a_request(change: dict[str, Any], words: str) -> None:
    def on_text(handler: Handler) -> bool:
        whole = answer(handler.script.probed[-1])
        whole["choices"][0] |= change
        handler.say(200, whole)
        return True

    script = Script(probe_fault=on_text)
    with serving(script) as url, pytest.raises(EngineDied, match=words):
        complete(options(url), 4)
    assert len(script.probed) == 1 and not script.seen


def test_a_server_that_is_busy_at_first_is_waited_for() -> None:
    def busy_twice(handler: Handler) -> bool:
        if len(handler.script.probed) > 2:
            return False
        handler.say(503, {})
        return True

    script = Script(probe_fault=busy_twice)
    with serving(script) as url:
        check_all_right(complete(options(url, endpoint_patience=30), 4), 4)
    assert len(script.probed) == 3
