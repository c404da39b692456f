"""Safe text escapes what is added to it as markupsafe does, and keeps origins where nothing is
escaped.
"""

from __future__ import annotations

import pytest
from markupsafe import Markup, escape

from cbdata.render.renderer import Renderer
from cbdata.render.safe_text import SafeText, escape_html, mark_safe
from cbdata.render.traced_text import Origin, TracedText, traced
from tests.unit.render.families import a_call, family_renderer

HERE = Origin("content", 0)


@pytest.mark.parametrize("other", ["", "plain", "<b>", "a & 'b'", Markup("<i>")])
def test_additions_are_markupsafe_s(other: str) -> None:
    safe = mark_safe(traced("<x>", HERE))
    assert str(safe + other) == str(Markup("<x>") + other)
    assert str(other + safe) == str(other + Markup("<x>"))
    assert str(safe + other + "<") == str(Markup("<x>") + other + "<")


def test_origins_stay_where_nothing_is_escaped() -> None:
    value = "(" + mark_safe(traced("<x>", HERE)) + ")"
    assert isinstance(value, SafeText)
    assert [(part.start, part.end, part.origin) for part in value.parts] == [(1, 4, HERE)]
    assert isinstance(value.strip("()"), SafeText)
    assert type(str(value)) is TracedText


@pytest.mark.parametrize("text", ["", "plain", "<b>'a' & \"b\"</b>", "&amp;", "<<"])
def test_escape_is_markupsafe_s_and_keeps_origins(text: str) -> None:
    value = escape_html("(" + traced(text, HERE) + "<)", {})
    assert str(value) == str(escape(f"({text}<)"))
    (part,) = value.parts
    assert str(value)[part.start : part.end] == str(escape(text))
    assert part.covered() == len(text)
    assert escape_html(value, {}) is value
    assert str(escape_html(Markup("<i>"), {})) == "<i>"
    assert str(escape_html(["<"], {})) == "[&#39;&lt;&#39;]"


def test_a_hidden_character_is_escaped_as_what_it_stands_for() -> None:
    hidden = {"\U000f0000": "<", "\U000f0001": "|"}
    value = escape_html(traced("\U000f0000\U000f0001", HERE), hidden)
    assert str(value) == "&lt;\U000f0001"


@pytest.mark.parametrize("text", ["fine", "<b>a & b</b>", "<|end|>", "it's"])
def test_escaped_messages_and_arguments_have_their_places(
    text: str, smollm2_renderer: Renderer
) -> None:
    renderer = family_renderer(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | e }}"
        "{% for c in m.tool_calls or [] %}<|call|>{{ c.function.name }}"
        "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v | string | escape }}"
        "</{{ k }}>{% endfor %}<|done|>{% endfor %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        smollm2_renderer.tokenizer,
    )
    draft = renderer.draft(
        [
            {"role": "user", "content": f"u{text}"},
            {"role": "assistant", "content": "", "tool_calls": [a_call(1, "look", x=text, y=[1])]},
            {"role": "tool", "content": text, "tool_call_id": "call00001"},
            {"role": "assistant", "content": f"{text}."},
        ]
    )
    shown = [draft.text[turn.content_start : turn.content_end] for turn in draft.turns]
    form = str(escape(text))
    assert shown == [
        f"u{form}<|end|>",
        f"<|call|>look<x>{form}</x><y>[1]</y><|done|><|end|>",
        f"{form}<|end|>",
        f"{form}.<|end|>",
    ]
    (call,) = draft.turns[1].calls
    assert draft.text[call.start : call.end] == shown[1].removesuffix("<|end|>")
