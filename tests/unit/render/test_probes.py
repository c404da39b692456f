"""What templates turn out to want when they are tried."""

from __future__ import annotations

import pytest

from cbdata.rejects import Reject
from cbdata.render.chat import TemplateFacts
from cbdata.render.probes import probe_landmarks
from cbdata.render.renderer import Renderer
from cbdata.render.settings import TokenizerError
from cbdata.render.template import ChatTemplate
from tests.unit.render.families import FAMILIES, family_renderer

WANTED = {
    "all in the pass": TemplateFacts(False, True, leaves=False),
    "ended by the next": TemplateFacts(False, True),
    "joined": TemplateFacts(False, True),
    "text arguments": TemplateFacts(False, True, string_arguments=True, leaves=False),
    "blocks": TemplateFacts(False, True, leaves=False, blocks=True),
}
LOOP = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"


@pytest.mark.parametrize("family", WANTED)
def test_facts(family: str) -> None:
    assert ChatTemplate(FAMILIES[family], "made", {}, "26 Jul 2024").facts == WANTED[family]


def test_calls_are_put_into_the_text_only_for_a_template_that_does_not_name_them() -> None:
    assert not ChatTemplate(LOOP, "made", {}, "26 Jul 2024").calls_known
    named = LOOP + "{# tool_calls #}"
    assert ChatTemplate(named, "made", {}, "26 Jul 2024").calls_known


def test_calls_beside_a_null_content() -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.content is none %}"
        "{% for c in m.tool_calls %}{{ c.function.name + c.function.arguments }}{% endfor %}"
        "{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
    )
    facts = ChatTemplate(source, "made", {}, "26 Jul 2024").facts
    assert (facts.null_content, facts.string_arguments, facts.calls_known) == (True, True, True)


def test_a_template_that_needs_tools_is_tried_with_one(smollm2_renderer: Renderer) -> None:
    source = "{% for t in tools %}{{ t.function.name }}{% endfor %}" + LOOP
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    assert renderer.template.tools_known
    assert renderer.landmarks.answer_ends == {"<|end|>"}


def test_landmarks_of_calls(smollm2_renderer: Renderer) -> None:
    tokenizer = smollm2_renderer.tokenizer
    assert family_renderer(FAMILIES["a list"], tokenizer).landmarks.call_close == "}"
    assert family_renderer(FAMILIES["joined"], tokenizer).landmarks.call_close == "')"


def test_markup_that_each_call_begins_and_ends_with(smollm2_renderer: Renderer) -> None:
    """No loop says where the tags between two calls belong."""
    landmarks = family_renderer(FAMILIES["tags between"], smollm2_renderer.tokenizer).landmarks
    assert landmarks.call_close == "}<|done|>"
    assert landmarks.call_open == '<|call|>{"name": "'


@pytest.mark.parametrize(
    "shown",
    [
        "{% for letter in m.content %}{{ letter }}{% endfor %}",
        "{{ m.content * 1 }}",
        "{{ m.content | list | join }}",
        "{{ m.content | list | tojson }}",
    ],
)
def test_contents_that_cannot_be_followed_are_no_lists_of_blocks(
    shown: str, smollm2_renderer: Renderer
) -> None:
    """Given blocks, such a template would print them as Python or JSON writes them."""
    source = "{% for m in messages %}<|{{ m.role }}|>" + shown + "<|end|>{% endfor %}"
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    assert not renderer.template.facts.blocks
    with pytest.raises(Reject, match="content_dropped"):
        renderer.draft([{"role": "user", "content": "what is up"}])


def test_a_template_that_refuses_everything_cannot_be_used(smollm2_renderer: Renderer) -> None:
    template = ChatTemplate("{{ raise_exception('no') }}", "made", {}, "26 Jul 2024")
    with pytest.raises(TokenizerError, match=r"refuses a plain conversation.*no"):
        probe_landmarks(template, smollm2_renderer.tokenizer)


def test_what_closes_a_call_is_no_half_of_a_control_token(smollm2_renderer: Renderer) -> None:
    """Two tokens that begin alike, one behind the last call and one behind the others."""
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments | tojson }}"
        "{{ '<|called|>' if loop.last else '<|calls|>' }}{% endfor %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    assert family_renderer(source, smollm2_renderer.tokenizer).landmarks.call_close == ""
