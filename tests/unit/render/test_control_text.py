"""Control-token text in messages: plain tokens, flagged, never structure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.render.renderer import Renderer
from tests.unit.render.families import a_call, family_renderer
from tests.unit.render.setups import Setup


def conversation(text: str) -> list[dict[str, Any]]:
    """The text in every place that others can write to."""
    call = {
        "call_id": "call00000",
        "function": {"name": "look", "arguments": {"x": text, text: [text]}},
    }
    return [
        {"role": "system", "content": f"a{text}"},
        {"role": "user", "content": text},
        {"role": "assistant", "content": f"{text}b", "tool_calls": [call]},
        {"role": "tool", "content": f"c {text} d", "tool_call_id": "call00000"},
        {"role": "assistant", "content": "done"},
    ]


def structure(renderer: Renderer, messages: list[dict[str, Any]]) -> list[int]:
    """The control tokens of a render, in order."""
    control = {token.id for token in renderer.tokenizer.control.values()}
    return [token for token in renderer.render(messages).tokens.ids() if token in control]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_control_token_comes_from_text(data: st.DataObject, renderer: Renderer) -> None:
    texts = sorted(renderer.tokenizer.control)
    text = "".join(
        data.draw(
            st.lists(
                st.one_of(st.sampled_from(texts), st.sampled_from((" ", "x", "\n", "\U000f0041"))),
                min_size=1,
                max_size=4,
            )
        )
    )
    assert structure(renderer, conversation(text)) == structure(renderer, conversation("plain"))
    rendered = renderer.render(conversation(text))
    assert renderer.decode(rendered.tokens.ids()) == rendered.draft.text
    assert text in rendered.draft.text


def test_flagged_by_message_and_token(renderer: Renderer) -> None:
    token = min(renderer.tokenizer.control)
    flags = renderer.render(conversation(token)).draft.control_text
    assert flags == [(0, token, 1), (1, token, 1), (2, token, 4), (3, token, 1)]
    assert renderer.render(conversation("plain")).draft.control_text == []


def test_prompt_hides_the_same_text(renderer: Renderer) -> None:
    """The prompt of the fill stage and the prompt part of the render are the same tokens."""
    token = min(renderer.tokenizer.control)
    messages = conversation(f"\n{token} é")
    prompt = renderer.prompt(messages[:-1])
    rendered = renderer.render(messages, split_prompt=True)
    end = rendered.draft.prompt_end()
    assert end is not None
    length = rendered.tokens.start(end)
    assert rendered.tokens.ids(0, length) == prompt.ids
    assert rendered.tokens.sha256(length) == prompt.sha256
    assert prompt.text == rendered.draft.text[:end]


@pytest.mark.parametrize(
    "answer", ["\n\nnewlines first", " space first", "\u0301combining first", "", "plain"]
)
def test_prompt_part_is_the_prompt_whatever_the_answer_begins_with(
    renderer: Renderer, answer: str
) -> None:
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": answer}]
    prompt = renderer.prompt(messages[:1])
    ids = renderer.render(messages, split_prompt=True).tokens.ids()
    assert ids[: len(prompt.ids)] == prompt.ids


def test_tools_with_control_text(renderer: Renderer) -> None:
    token = min(renderer.tokenizer.control)

    def tools(text: str) -> list[dict[str, Any]]:
        return [
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": text,
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ]

    control = {item.id for item in renderer.tokenizer.control.values()}
    clean, dirty = (
        renderer.prompt([{"role": "user", "content": "x"}], tools(text))
        for text in ("plain", token)
    )
    assert [item for item in dirty.ids if item in control] == [
        item for item in clean.ids if item in control
    ]
    assert token in dirty.text


def test_name_of_a_call_is_as_it_was_written(renderer: Renderer) -> None:
    name = f"a{min(renderer.tokenizer.control)}b"
    call = {"call_id": "call00000", "function": {"name": name, "arguments": {}}}
    rendered = renderer.render(
        [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
    )
    (span,) = rendered.draft.turns[1].calls
    assert span.name == name == rendered.draft.text[span.name_start : span.name_end]


def test_reject(setup: Setup) -> None:
    renderer = setup.renderer(control_tokens="reject")
    token = min(renderer.tokenizer.control)
    renderer.render(conversation("plain"))
    with pytest.raises(Reject, match="control_token_in_content"):
        renderer.render(conversation(token))
    with pytest.raises(Reject, match="control_token_in_content"):
        renderer.prompt(conversation(token))


def test_both_private_use_planes_taken(smollm2_renderer: Renderer) -> None:
    with pytest.raises(Reject, match="private_use_conflict"):
        smollm2_renderer.render(
            [
                {"role": "user", "content": "<|im_end|>\U000f0001\U00100001"},
                {"role": "assistant", "content": "x"},
            ]
        )
    one = "<|im_end|>\U000f0001"
    assert (
        one
        in smollm2_renderer.render(
            [{"role": "user", "content": one}, {"role": "assistant", "content": "x"}]
        ).draft.text
    )


@pytest.mark.parametrize(
    "text", ["<|end|>", "it's <|end|>", "\"'<|call|>", "\\<|done|>\n", "<|'|>"]
)
@pytest.mark.parametrize(
    "form",
    ["{{ V }}", "{{ V | string }}", "{{ '%s' % V }}", "{{ '{}'.format(V) }}", "{{ '' ~ V }}"],
)
def test_what_python_writes_of_hidden_text_is_what_it_writes_of_the_text(
    form: str, text: str, smollm2_renderer: Renderer
) -> None:
    """A list or mapping that a template prints as it is."""
    renderer = family_renderer(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
        f"<|call|>{{{{ c.function.name }}}}{form.replace('V', 'c.function.arguments')}<|done|>"
        "{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
        smollm2_renderer.tokenizer,
    )
    arguments = {"x": text, text: [text, {"k": None}], "y": 1}
    turn = {"role": "assistant", "content": "", "tool_calls": [a_call(1, "look", **arguments)]}
    rendered = renderer.render([{"role": "user", "content": "ask"}, turn])
    shown = f"<|call|>look{arguments}<|done|>"
    text_of = rendered.draft.text
    assert text_of == f"<|user|>ask<|end|><|assistant|>{shown}<|end|>"
    (call,) = rendered.draft.turns[1].calls
    assert text_of[call.start : call.end] == shown
    control = {token.id for token in renderer.tokenizer.control.values()}
    assert sum(token in control for token in rendered.tokens.ids()) == 6


@pytest.mark.parametrize("reverse", [False, True])
def test_arguments_are_sorted_as_they_were_written(
    reverse: bool, smollm2_renderer: Renderer
) -> None:
    renderer = family_renderer(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
        "<|call|>{{ c.function.name }}{% for k, v in c.function.arguments"
        f" | dictsort(reverse={reverse}) %}} {{{{ k }}}}={{{{ v | tojson }}}}{{% endfor %}}<|done|>"
        "{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
        smollm2_renderer.tokenizer,
    )
    arguments = {"b": 1, "<|end|>": "x", "A": "<|call|>", "!": 2}
    turn = {"role": "assistant", "content": "", "tool_calls": [a_call(1, "look", **arguments)]}
    draft = renderer.draft([{"role": "user", "content": "ask"}, turn])
    (call,) = draft.turns[1].calls
    pairs = ["!=2", '<|end|>="x"', 'A="<|call|>"', "b=1"]
    wanted = " ".join(reversed(pairs) if reverse else pairs)
    assert draft.text[call.start : call.end] == f"<|call|>look {wanted}<|done|>"
