"""HTTP to a server: what is refused, what passes, and that the key is said nowhere."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest

from cbdata.fill.backends import endpoint_http
from cbdata.fill.backends.base import EngineDied
from cbdata.fill.backends.endpoint_http import (
    KEY_VARIABLE,
    JsonClient,
    NotNow,
    Refused,
    printable,
    server_key,
    url_problem,
)
from tests.scripted_server import Fault, Handler, Script, serving

BODY = {"prompt": [1]}


def ask(fault: Fault, key: str | None = None, timeout: float = 30.0) -> dict[str, Any]:
    """What a client makes of an answer to a POST."""
    with serving(Script(fault=fault)) as url:
        client = JsonClient(f"{url}/v1", timeout, 1, {KEY_VARIABLE: key} if key else {})
        try:
            return client.ask("POST", f"{url}/v1/completions", BODY)
        finally:
            client.close()


def says(status: int, body: Any, **headers: str) -> Fault:
    def fault(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.say(status, body, **headers)
        return True

    return fault


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://[::1", "expected http"),
        ("http://host:99999", "expected http"),
        ("http://host:abc", "expected http"),
        ("http://host:0", "expected http"),
        ("http://host :8000", "without blanks"),
        ("http://host\n:8000", "without blanks"),
        ("ftp://host", "expected http"),
        ("http://user@host", "no user"),
        ("http://user:p/w@host", "no user"),
        ("http://host/v1?", "no user, key or query"),
        ("http://host/#x", "no user, key or query"),
        ("http://host:8000/v1/completions", "up to /v1"),
    ],
)
def test_addresses_that_cannot_be_used_are_told(url: str, words: str) -> None:
    problem = url_problem(url)
    assert problem is not None and words in problem and "p/w" not in problem


@pytest.mark.parametrize(
    "url",
    ["http://[::1]:8000", "https://host/team/a/", "HTTP://host:1/v1/", "http://b\u00fccher.de"],
)
def test_addresses_that_can_be_used(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize("key", ["sk-1\n", " sk-1 ", "sk-1\r\n"])
def test_what_stands_around_a_key_is_left_out(key: str) -> None:
    assert server_key({KEY_VARIABLE: key}) == "sk-1"


@pytest.mark.parametrize("key", ["sk\n1", "sk 1", "sk-\u00fc", "sk\x00"])
def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(EngineDied, match=KEY_VARIABLE) as caught:
        server_key({KEY_VARIABLE: key})
    assert key not in str(caught.value)


def test_no_key_is_no_error() -> None:
    assert server_key({}) == server_key({KEY_VARIABLE: "\n"}) == ""


@pytest.mark.parametrize(
    ("status", "raised", "counts"),
    [
        (204, NotNow, True),
        (206, NotNow, True),
        (400, Refused, None),
        (401, EngineDied, None),
        (404, EngineDied, None),
        (408, NotNow, True),
        (413, Refused, None),
        (422, Refused, None),
        (429, NotNow, False),
        (500, NotNow, True),
        (502, NotNow, True),
        (503, NotNow, False),
        (504, NotNow, True),
    ],
)
def test_what_a_status_means(status: int, raised: type[Exception], counts: bool | None) -> None:
    body = b"" if status == 204 else b"bad \x1b[31m \xff {} %s"
    with pytest.raises(raised) as caught:
        ask(says(status, body))
    assert str(status) in str(caught.value) and "\x1b" not in str(caught.value)
    assert getattr(caught.value, "counts", None) is counts


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_key_follows_to_another_host(status: int) -> None:
    with serving(other := Script()) as elsewhere:
        place = elsewhere.replace("http://", "http://user:pw@") + "/v1/completions?key=secret"
        with pytest.raises(EngineDied, match=rf"answers {status} and sends on to") as caught:
            ask(says(status, b"", Location=place), key="sesame")
    assert not other.connections
    assert not any(word in str(caught.value) for word in ("pw", "secret", "sesame"))


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_logs(status: int) -> None:
    def repeats(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.say(status, {"error": "x" * 270 + handler.headers["Authorization"] * 2})
        return True

    with pytest.raises(RuntimeError) as caught:
        ask(repeats, key="sesame")
    assert "Bearer ***" in str(caught.value) and "sesa" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"<html>", b"[" * 200_000, b"\xff\xfe{\x00}\x00", b"", b"[1]", b"NaN"]
)
def test_what_is_no_json_object_is_half_an_answer(body: bytes) -> None:
    with pytest.raises(NotNow) as caught:
        ask(says(200, body))
    assert caught.value.counts


def test_an_answer_may_be_compressed_and_say_any_charset() -> None:
    packed = gzip.compress(b'{"a": 1}')
    assert ask(says(200, packed, Content_Encoding="gzip")) == {"a": 1}
    assert ask(says(200, b'{"a": 1}', Content_Type="application/json; charset=zlib")) == {"a": 1}
    with pytest.raises(NotNow, match="DecodingError") as caught:
        ask(says(200, b"not gzip", Content_Encoding="gzip"))
    assert caught.value.counts


def test_an_answer_that_drips_or_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def drips(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" ")
            time.sleep(0.02)
        return True

    began = time.monotonic()
    with pytest.raises(NotNow, match=r"no whole answer within 0\.2 s"):
        ask(drips, timeout=0.2)
    assert time.monotonic() - began < 10
    monkeypatch.setattr(endpoint_http, "LONGEST_ANSWER", 100)
    with pytest.raises(NotNow, match="more than 100 bytes"):
        ask(says(200, b" " * 1000))


def test_a_chunked_answer_that_is_cut_counts_against_the_request() -> None:
    def cut(handler: Handler, _body: dict[str, Any], _before: int) -> bool:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b'40\r\n{"choices":')
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.close()
        return True

    with pytest.raises(NotNow) as caught:
        ask(cut)
    assert caught.value.counts and caught.value.lost


@pytest.mark.parametrize(
    ("said", "wait"), [("7", 7.0), ("-3", 0.0), ("nan", 0.0), ("soon", None), (None, None)]
)
def test_how_long_a_server_asks_to_wait(said: str | None, wait: float | None) -> None:
    with pytest.raises(NotNow) as caught:
        ask(says(429, b"", **({"Retry_After": said} if said else {})))
    assert caught.value.wait == wait


def test_a_servers_words_are_one_line_without_control_characters() -> None:
    assert printable("a\n\tb\x1b[31mc\u202ed", 8) == "a b\ufffd[31m"
