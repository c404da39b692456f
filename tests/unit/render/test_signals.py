"""Commitments and injection spans."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.render.renderer import Renderer
from cbdata.render.signals import guarantee_prefix, injection_token_spans
from tests.unit.render.setups import find_setup


@pytest.mark.parametrize(
    ("name", "tools", "prefix"),
    [
        ("send_money", ("send_money", "get_iban"), "s"),
        ("send_money", ("send_money", "send_email"), "send_m"),
        ("send", ("send", "send_money"), None),
        ("send_money", ("send", "send_money"), "send_"),
        ("other", ("send", "open"), "ot"),
        ("alone", ("alone",), "a"),
        ("send_money", None, None),
    ],
)
def test_guarantee_prefix(name: str, tools: tuple[str, ...] | None, prefix: str | None) -> None:
    assert guarantee_prefix(name, tools) == prefix


@given(
    st.text("ab_", min_size=1, max_size=5),
    st.lists(st.text("ab_", min_size=1, max_size=5), max_size=4),
)
def test_guarantee_prefix_is_the_shortest_that_settles(name: str, others: list[str]) -> None:
    prefix = guarantee_prefix(name, tuple(others))
    shares = [
        any(other.startswith(name[:length]) for other in others if other != name)
        for length in range(1, len(name) + 1)
    ]
    assert prefix == (name[: shares.index(False) + 1] if False in shares else None)


def conversation(content: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"call_id": "call00000", "function": {"name": "look", "arguments": {}}}],
        },
        {"role": "tool", "content": content, "tool_call_id": "call00000"},
        {"role": "assistant", "content": "ok"},
    ]


TEXT = st.text(alphabet='ab \n\t"\\é😀<|', max_size=12)


def check_spans(before: str, injection: str, after: str, renderer: Renderer) -> None:
    """The tokens of an injection spell it, in the form in which the template prints it, with at
    most a token's rest at the edges.
    """
    messages = conversation(before + injection + after)
    rendered = renderer.render(messages)
    hint = {"message_index": 2, "char_start": len(before), "char_end": len(before) + len(injection)}
    spans = injection_token_spans([hint], messages, rendered.draft.turns, rendered.tokens)
    if not injection:
        assert spans == []
        return
    (span,) = spans
    shown = renderer.decode(rendered.tokens.ids(span["token_start"], span["token_end"]))
    inner = renderer.decode(rendered.tokens.ids(span["token_start"] + 1, span["token_end"] - 1))
    quoted = renderer.chat_template_name == "tokenizer" and "llama" in renderer.tokenizer_id
    wanted = json.dumps(injection, ensure_ascii=False)[1:-1] if quoted else injection
    assert wanted in shown or "\ufffd" in shown
    # A character in several tokens leaves undecodable bytes at the edges.
    assert len(inner.strip("\ufffd")) <= len(wanted)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=TEXT, injection=TEXT, after=TEXT)
def test_injection_is_projected(
    before: str, injection: str, after: str, renderer: Renderer
) -> None:
    check_spans(before, injection, after, renderer)


@pytest.fixture(scope="module")
def stock_renderer(request: pytest.FixtureRequest) -> Renderer:
    return find_setup("llama-3.1-stock", request).renderer()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=TEXT, injection=TEXT, after=TEXT)
def test_injection_is_projected_through_json_quotes(
    before: str, injection: str, after: str, stock_renderer: Renderer
) -> None:
    """The stock Llama 3.1 template prints tool results as JSON strings: the injection is not a
    substring of its text.
    """
    check_spans(before, injection, after, stock_renderer)


def test_hint_outside_the_message_is_refused(smollm2_renderer: Renderer) -> None:
    messages = conversation("short")
    rendered = smollm2_renderer.render(messages)
    for hint in (
        {"message_index": 2, "char_start": 3, "char_end": 6},
        {"message_index": 9, "char_start": 0, "char_end": 1},
    ):
        with pytest.raises(Reject, match="injection_outside_message"):
            injection_token_spans([hint], messages, rendered.draft.turns, rendered.tokens)
