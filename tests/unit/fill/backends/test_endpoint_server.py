"""What a server says of itself, and completions that are none."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.backends.base import EngineDied
from cbdata.fill.backends.endpoint_server import NotNow, ServedModel, Server
from tests.scripted_server import Handler, Script, answer, serving
from tests.unit.fill.backends.test_endpoint_backend import requests


@pytest.mark.parametrize(
    ("name", "root", "shown"),
    [
        ("m", "/home/jdoe/secret/llama", "v (llama), m"),
        ("/home/jdoe/secret/llama", "/home/jdoe/secret/llama", "v, llama"),
        ("org/llama", "org/llama", "v, org/llama"),
        ("m", "", "v, m"),
    ],
)
def test_no_folder_of_a_server_is_shown(name: str, root: str, shown: str) -> None:
    assert str(ServedModel(name, None, "v", root)) == shown


def completed(choice: dict[str, Any], usage: dict[str, Any] | None = None) -> Any:
    """One completion of at most 16 tokens from a server that changes its answer so."""

    def fault(handler: Handler, body: dict[str, Any], before: int) -> bool:
        whole = answer(body)
        whole["choices"][0] |= choice
        whole["usage"] = usage
        handler.say(200, whole)
        return True

    with serving(Script(fault=fault)) as url:
        server = Server(url, 30, 1, {}, vocabulary=1000)
        try:
            return server.complete(requests(1)[0], "m", ())
        finally:
            server.close()


@pytest.mark.parametrize(
    ("choice", "usage"),
    [
        ({"token_ids": []}, None),
        ({"token_ids": [-1, 2]}, None),
        ({"token_ids": [1.0]}, None),
        ({"token_ids": [True]}, None),
        ({"token_ids": [None]}, None),
        ({"token_ids": ["1"]}, None),
        ({"token_ids": [1 << 31]}, None),
        ({"token_ids": {"0": 1}}, None),
        ({"token_ids": "12"}, None),
        ({"token_ids": list(range(17))}, None),
        ({"token_ids": [1, 2]}, {"completion_tokens": 3}),
        ({"finish_reason": []}, None),
        ({"finish_reason": {}, "token_ids": None}, None),
        ({"finish_reason": "tool_calls"}, None),
        ({"finish_reason": 1}, None),
    ],
)
def test_what_is_no_whole_completion_is_asked_for_again(
    choice: dict[str, Any], usage: dict[str, Any] | None
) -> None:
    with pytest.raises(NotNow) as caught:
        completed(choice, usage)
    assert caught.value.counts


@pytest.mark.parametrize(
    ("choice", "usage", "words"),
    [
        ({"token_ids": [1000]}, None, r"wrote the token 1000, .* has 1000 tokens: .*another model"),
        ({"prompt_token_ids": None}, {"prompt_tokens": 3}, "completed another prompt"),
        ({"prompt_token_ids": [0, 7, 1]}, None, "completed another prompt"),
        ({"token_ids": None, "finish_reason": "length"}, None, "returns no token ids"),
    ],
)
def test_what_shows_another_model_or_prompt_is_an_error(
    choice: dict[str, Any], usage: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(EngineDied, match=words):
        completed(choice, usage)


def test_odd_usage_is_no_reason_to_lose_a_completion() -> None:
    for usage in ([], 3, {"prompt_tokens_details": 1}, {"prompt_tokens_details": {}}):
        assert completed({"token_ids": [999]}, usage) == ((999,), "stop", None)  # type: ignore[arg-type]


def described(listed: Any, version: Any = "9.9") -> ServedModel:
    """What a server is taken for that lists its models so."""

    class Odd(Handler):
        def do_GET(self) -> None:
            self.say(200, {"version": version} if self.path == "/version" else listed)

    with serving(Script(), handler=Odd) as url:
        server = Server(url, 30, 1, {})
        try:
            return server.describe("m")
        finally:
            server.close()


def test_the_place_of_the_model_and_the_version_are_recorded_in_one_line() -> None:
    listed = {"data": ["x", {"id": 3}, {"id": "m", "root": "/models/a\nb", "max_model_len": True}]}
    served = described(listed, "1\x1b[0m" + "x" * 500)
    assert (served.name, served.context, served.root) == ("m", None, "/models/a b")
    assert str(served).startswith("vllm 1\ufffd[0mxxx") and str(served).endswith("x (a b), m")
    assert len(str(served)) < 500 and str(served).isprintable()
    assert str(described({"data": [{"id": "m", "root": "m"}]}, [])) == "vllm [], m"
    assert str(described({"data": [{"id": "m", "root": "org/x"}]})) == "vllm 9.9 (org/x), m"


@pytest.mark.parametrize("listed", [{}, {"data": None}, {"data": [1]}, {"data": [{"id": ["m"]}]}])
def test_a_list_without_the_model_is_an_error(listed: dict[str, Any]) -> None:
    with pytest.raises(EngineDied, match="not m"):
        described(listed)
