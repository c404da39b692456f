"""Servers that answer in every way but the right one: no completion is lost, doubled or made of
half an answer, and what cannot pass is said at once.
"""

from __future__ import annotations

import array
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.backends import endpoint_backend, endpoint_server
from cbdata.fill.backends.base import (
    EngineAway,
    EngineDied,
    EngineOptions,
    Generated,
    Refusal,
    RequestQueue,
)
from cbdata.fill.backends.endpoint_backend import EndpointBackend
from cbdata.fill.requests import Request
from tests.fill_settings import fill_settings, runtime_settings
from tests.scripted_server import Handler, Script, answer, serving


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_backend, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(endpoint_backend, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(endpoint_backend, "WAIT_STEP_S", 0.05)
    monkeypatch.delenv(endpoint_server.KEY_VARIABLE, raising=False)


def requests(count: int, grammar: str | None = None) -> list[Request]:
    return [
        Request(
            trace_id=f"t{number}",
            mode="ds",
            attempt=1,
            prompt_ids=array.array("I", [number, number + 7]),
            prompt_sha256="p",
            sampling_sha256="s",
            seed=number,
            temperature=0.7,
            top_p=0.9,
            max_tokens=16,
            grammar=grammar,
        )
        for number in range(count)
    ]


def options(*urls: str, **changes: Any) -> EngineOptions:
    settings = {"endpoint_urls": list(urls), "endpoint_patience": 0.6, **changes}
    return EngineOptions(
        model=Path("nowhere"),
        runtime=runtime_settings(**settings),
        engine=fill_settings().engine,
        device="cuda",
        dtype="auto",
        max_model_len=64,
        seed=0,
        stop_token_ids=(3,),
        served_name="m",
    )


def complete(
    given: EngineOptions, count: int, grammar: str | None = None
) -> list[Generated | Refusal]:
    """All that comes back, in the order of the requests."""
    engine = EndpointBackend().open(given)
    try:
        found = [
            one for some in engine.generate(RequestQueue(requests(count, grammar))) for one in some
        ]
    finally:
        engine.close()
    return sorted(found, key=lambda one: one.request.seed)


def check_all_right(found: list[Generated | Refusal], count: int) -> None:
    assert [one.request.seed for one in found] == list(range(count))
    for one in found:
        assert isinstance(one, Generated)
        assert one.token_ids == tuple(token + 1 for token in one.request.prompt_ids)
        assert one.finish_reason == "stop"


def test_ids_go_in_and_come_out_with_each_requests_own_seed_and_sampling() -> None:
    script = Script()
    with serving(script) as url:
        engine = EndpointBackend().open(options(url))
        assert (engine.name, engine.version) == ("endpoint", "vllm 9.9, m")
        engine.close()
        check_all_right(complete(options(f"{url}/v1/"), 3, "root ::= x"), 3)
    body = min(script.seen, key=lambda one: int(one["seed"]))
    assert body == {
        "model": "m",
        "prompt": [0, 7],
        "max_tokens": 16,
        "temperature": 0.7,
        "top_p": 0.9,
        # What a request leaves out, a server takes from the model's generation_config.json.
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 0,
        "stop_token_ids": [3],
        "add_special_tokens": False,
        "skip_special_tokens": False,
        "return_token_ids": True,
        "structured_outputs": {"grammar": "root ::= x"},
    }


def status(number: int, **headers: str) -> Any:
    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if before >= 2:
            return False
        handler.say(number, {"error": "later"}, **headers)
        return True

    return fault


def broken(change: dict[str, Any]) -> Any:
    """An answer whose choice was changed, twice for each prompt."""

    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if before >= 2:
            return False
        whole = answer(body)
        whole["choices"][0].update(change)
        handler.say(200, whole)
        return True

    return fault


def no_answer(handler: Handler, body: dict[str, Any], before: int) -> bool:
    """The connection ends."""
    if before >= 2:
        return False
    handler.close_connection = True
    handler.connection.close()
    return True


def torn(handler: Handler, body: dict[str, Any], before: int) -> bool:
    """The connection ends in the middle of the answer."""
    if before >= 2:
        return False
    data = json.dumps(answer(body)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.close()
    return True


def no_json(handler: Handler, body: dict[str, Any], before: int) -> bool:
    if before >= 2:
        return False
    handler.say(200, b"<html>a proxy's page</html>")
    return True


@pytest.mark.parametrize(
    "fault",
    [
        status(429, Retry_After="0"),
        status(503),
        status(502),
        status(500),
        broken({"finish_reason": "abort"}),
        broken({"finish_reason": None}),
        broken({"token_ids": [1]}),
        broken({"token_ids": ["a", "b"]}),
        no_answer,
        torn,
        no_json,
    ],
    ids=[
        "429",
        "503",
        "502",
        "500",
        "aborted",
        "unfinished",
        "ids missing",
        "no ids",
        "connection lost",
        "half an answer",
        "a proxy's page",
    ],
)
def test_what_passes_is_asked_for_again_and_nothing_is_lost_or_doubled(fault: Any) -> None:
    script = Script(fault=fault)
    with serving(script) as url:
        # A busy machine may stand still for longer than the patience of the other tests.
        check_all_right(complete(options(url, endpoint_patience=30), 8), 8)
    assert script.answered == Counter({(n, n + 7): 1 for n in range(8)})


def test_a_request_that_takes_too_long_is_asked_for_again() -> None:
    def slow(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if not before:
            time.sleep(0.5)
        return False

    with serving(Script(fault=slow)) as url:
        check_all_right(complete(options(url, endpoint_timeout=0.2, endpoint_patience=30), 3), 3)


@pytest.mark.parametrize("number", [400, 500])
def test_a_request_that_is_never_answered_is_a_refusal_and_stops_no_other(number: int) -> None:
    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if body["seed"] != 1:
            return False
        handler.say(number, {"error": "this prompt"})
        return True

    with serving(Script(fault=fault)) as url:
        first, refused, last = complete(options(url, endpoint_patience=30), 3)
    assert isinstance(refused, Refusal) and "this prompt" in refused.detail
    assert isinstance(first, Generated) and isinstance(last, Generated)


def ends_the_connection(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


@pytest.mark.parametrize(
    "answers",
    [
        lambda handler: handler.say(502, {"error": "at this prompt"}),
        lambda handler: handler.say(504, {"error": "it takes too long"}),
        lambda handler: handler.say(200, b"x", Content_Encoding="gzip"),
        ends_the_connection,
    ],
    ids=["502", "504", "no gzip", "connection lost"],
)
def test_a_request_at_which_a_proxy_or_the_server_always_fails_does_not_hang(answers: Any) -> None:
    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if body["seed"] != 1:
            return False
        answers(handler)
        return True

    with serving(Script(fault=fault)) as url:
        first, refused, last = complete(options(url, endpoint_patience=30), 3)
    assert isinstance(refused, Refusal) and "failed 8 times" in refused.detail
    assert isinstance(first, Generated) and isinstance(last, Generated)


@pytest.mark.parametrize("number", [400, 413, 422])
def test_a_server_that_refuses_every_request_makes_no_rejects(number: int) -> None:
    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        handler.say(number, {"error": "no such parameter"})
        return True

    with (
        serving(Script(fault=fault)) as url,
        pytest.raises(EngineDied, match=r"takes no request of this job.*no such parameter"),
    ):
        complete(options(url), 4)


@pytest.mark.parametrize("number", [429, 503])
def test_a_server_that_is_busy_for_ever_ends_the_job_in_the_end(number: int) -> None:
    with (
        serving(Script(fault=status_for_ever(number))) as url,
        pytest.raises(EngineAway, match=f"answers {number}"),
    ):
        complete(options(url, endpoint_patience=0.2), 2)


def status_for_ever(number: int) -> Any:
    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        handler.say(number, {"error": "later"}, Retry_After="inf")
        return True

    return fault


def test_a_busy_server_is_waited_for_longer_than_one_that_is_away() -> None:
    until = time.monotonic() + 0.5

    def busy(handler: Handler, body: dict[str, Any], before: int) -> bool:
        if time.monotonic() > until:
            return False
        handler.say(429, {})
        return True

    with serving(Script(fault=busy)) as url:
        check_all_right(complete(options(url, endpoint_patience=0.3), 3), 3)


class Rooted(Handler):
    """Says where it has its model from."""

    root = "/models/a"

    def do_GET(self) -> None:
        self.say(200, {"version": "9", "data": [{"id": "m", "root": self.root}]})


class OtherRoot(Rooted):
    root = "/models/b"


def test_a_server_that_comes_back_with_another_model_is_not_mixed_with_it() -> None:
    gone = threading.Event()

    def at_work(handler: Handler, body: dict[str, Any], before: int) -> bool:
        return bool(body["seed"]) and gone.wait(20)

    with serving(Script(fault=at_work), handler=Rooted) as url:
        engine = EndpointBackend().open(options(url, endpoint_patience=20, endpoint_concurrency=2))
        assert engine.version == "vllm 9 (a), m"
        port = int(url.rpartition(":")[2])
        results = engine.generate(RequestQueue(requests(12)))
        found = [*next(results)]
    gone.set()
    with (
        serving(Script(), port, OtherRoot),
        pytest.raises(EngineDied, match=r"another model: b, before it was a"),
    ):
        found += [one for some in results for one in some]
    engine.close()
    assert len(found) < 12


def test_an_address_may_be_ipv6_and_have_a_path() -> None:
    class Below(Handler):
        def do_GET(self) -> None:
            self.path = self.path.removeprefix("/team/a")
            super().do_GET()

    with serving(Script(), handler=Below, host="::1") as url:
        check_all_right(complete(options(f"{url}/team/a/"), 2), 2)


def test_a_server_that_cuts_completions_by_itself_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def short(handler: Handler, body: dict[str, Any], before: int) -> bool:
        whole = answer(body)
        whole["choices"][0]["finish_reason"] = "length"
        handler.say(200, whole)
        return True

    with serving(Script(fault=short)) as url:
        found = complete(options(url), 3)
    assert [one.finish_reason for one in found if isinstance(one, Generated)] == ["length"] * 3
    assert caplog.text.count("ended a completion after 2 of 16 tokens") == 1


def test_a_server_that_goes_away_and_comes_back_costs_nothing() -> None:
    script = Script()
    with serving(script) as url:
        engine = EndpointBackend().open(options(url, endpoint_patience=20, endpoint_concurrency=2))
        port = int(url.rpartition(":")[2])
        results = engine.generate(RequestQueue(requests(12)))
        found = [*next(results)]
    time.sleep(0.3)
    with serving(script, port):
        found += [one for some in results for one in some]
    engine.close()
    check_all_right(sorted(found, key=lambda one: one.request.seed), 12)


def test_a_server_that_stays_away_ends_the_job_after_the_patience() -> None:
    with serving(Script()) as url:
        began = time.monotonic()
        engine = EndpointBackend().open(options(url))
    with pytest.raises(EngineAway, match=r"no server answered for \d+ s; the last one: .*Connect"):
        list(engine.generate(RequestQueue(requests(3))))
    assert 0.6 <= time.monotonic() - began < 10
    engine.close()


def test_a_server_that_was_never_there_ends_the_job_too() -> None:
    with serving(Script()) as url:
        pass
    with pytest.raises(EngineAway):
        EndpointBackend().open(options(url))


def test_a_server_that_fails_at_every_completion_ends_the_job() -> None:
    """Though it answers questions: otherwise every skeleton would be a reject."""

    def sick(handler: Handler, body: dict[str, Any], before: int) -> bool:
        handler.say(500, {"error": "upstream"})
        return True

    with serving(Script(fault=sick)) as url, pytest.raises(EngineAway, match="upstream"):
        complete(options(url), 4)


def test_one_of_two_servers_may_be_away_when_the_job_starts() -> None:
    with serving(Script()) as gone:
        pass
    with serving(Script()) as url:
        check_all_right(complete(options(gone, url, endpoint_patience=30), 6), 6)


def test_two_servers_share_the_work_and_one_can_do_it_alone() -> None:
    def down(handler: Handler, body: dict[str, Any], before: int) -> bool:
        handler.say(503, {})
        return True

    one, two = Script(), Script()
    with serving(one) as first, serving(two) as second:
        check_all_right(complete(options(first, second, endpoint_concurrency=2), 24), 24)
        assert min(len(one.seen), len(two.seen)) >= 6
        assert max(one.most_at_once, two.most_at_once) <= 3
        two.fault = down
        check_all_right(complete(options(first, second, endpoint_patience=30), 24), 24)


def test_the_key_comes_from_the_environment_and_stands_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Script(key="sesame")) as url:
        with pytest.raises(EngineDied, match="put the key into CB_ENDPOINT_KEY"):
            EndpointBackend().open(options(url))
        monkeypatch.setenv("CB_ENDPOINT_KEY", "sesame")
        with caplog.at_level("DEBUG"):
            check_all_right(complete(options(url), 2), 2)
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Script(models=("other", "else")), "serves else, other, not m.*endpoint_model"),
        (Script(models=()), "serves no model"),
        (Script(context=32), "takes 32 tokens.*needs 64.*max_model_len=32"),
    ],
)
def test_a_server_that_cannot_do_it_is_an_error_at_once(script: Script, words: str) -> None:
    with serving(script) as url, pytest.raises(EngineDied, match=words) as caught:
        EndpointBackend().open(options(url))
    assert not isinstance(caught.value, EngineAway)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_ids": None}, "returns no token ids"),
        ({"prompt_token_ids": [1, 2, 3]}, "completed another prompt"),
    ],
)
def test_a_server_that_works_on_text_is_an_error(change: dict[str, Any], words: str) -> None:
    with (
        serving(Script(fault=broken(change))) as url,
        pytest.raises(EngineDied, match=words),
    ):
        complete(options(url), 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "needs at least one"),
        ({"endpoint_urls": ["host:8000"]}, "expected http"),
        ({"endpoint_urls": ["http://user:pw@host"]}, "a key belongs in CB_ENDPOINT_KEY"),
        ({"endpoint_urls": ["http://user:pw@[::1"]}, "http://***@[::1"),
        ({"endpoint_urls": ["https://host/v1?key=a"]}, "a key belongs in CB_ENDPOINT_KEY"),
        ({"endpoint_urls": ["file:///etc/passwd"]}, "expected http"),
    ],
)
def test_addresses_are_looked_at_while_planning(changes: dict[str, Any], words: str) -> None:
    (problem,) = EndpointBackend().option_problems(
        fill_settings().engine, runtime_settings(**changes)
    )
    assert words in problem and "pw" not in problem


def test_what_the_server_decides_is_no_option_here() -> None:
    engine = fill_settings(quantization="fp8").engine
    runtime = runtime_settings(endpoint_urls=["http://host:8000"])
    (problem,) = EndpointBackend().option_problems(engine, runtime)
    assert "quantization" in problem and "the server decides" in problem


def test_it_asks_for_no_gpu() -> None:
    assert EndpointBackend().needs(runtime_settings(tensor_parallel=8)).gpus == 0
