"""Every character of a rendered text belongs to one thing, for what each family of templates does;
spans are read off that.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.config import default_settings
from cbdata.rejects import Reject
from cbdata.render.draft import Draft
from cbdata.render.partition import partition
from cbdata.render.record import RowWriter, spans_of
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RowSettings
from cbdata.render.turns import Turn
from tests.records import make_trace
from tests.unit.render.families import FAMILIES, a_call, a_result, family_renderer

CALLS = [a_call(0, "get_it", alpha="x 'y' \"z\"\n\\", beta=2), a_call(1, "put_it", gamma="end")]
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "ask one"},
    {"role": "assistant", "content": "look here", "tool_calls": CALLS},
    a_result(0, "get_it", "found a"),
    a_result(1, "put_it", ""),
    {"role": "assistant", "content": "answer one"},
    {"role": "user", "content": "ask two"},
    {"role": "assistant", "content": "answer two"},
]
# The messages in a turn are reasoning or calls, not text beside them.
BARE = {"messages in a turn": {2: {"content": "", "thinking": "hm so"}}}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def renderers(smollm2_renderer: Renderer) -> dict[str, Renderer]:
    return {
        name: family_renderer(source, smollm2_renderer.tokenizer)
        for name, source in FAMILIES.items()
    }


def conversation(family: str) -> list[dict[str, Any]]:
    changes = BARE.get(family, {})
    return [{**each, **changes.get(index, {})} for index, each in enumerate(CONVERSATION)]


def classes(draft: Draft) -> list[tuple[str, str, int]]:
    """The stretches of a draft: class, text and message."""
    return [
        (each.kind, draft.text[each.start : each.end], each.message) for each in draft.stretches
    ]


def test_every_character_belongs_to_one_thing(family: str, renderers: dict[str, Renderer]) -> None:
    draft = renderers[family].draft(conversation(family))
    assert "".join(text for _, text, _ in classes(draft)) == draft.text
    ends = [each.end for each in draft.stretches]
    assert [0, *ends[:-1]] == [each.start for each in draft.stretches]


def test_a_call_is_its_own_markup_and_the_first_opens_the_section(
    family: str, renderers: dict[str, Renderer]
) -> None:
    messages = conversation(family)
    draft = renderers[family].draft(messages)
    turn = next(turn for turn in draft.turns if turn.index == 2)
    first, second = (draft.text[call.start : call.end] for call in turn.calls)
    assert first.count("get_it") == 1
    assert "put_it" not in first
    assert "put_it" in second
    assert "get_it" not in second
    for shown in (first, second):
        assert not any(
            text in shown for text in ("look here", "hm so", "<|assistant|>", "<|end|>", "found")
        )
    for call, name in zip(turn.calls, ("get_it", "put_it"), strict=True):
        assert draft.text[call.name_start : call.name_end] == name
    before = max(
        [turn.own_start, *(end for _, end in turn.thinking), *(part.end for part in turn.pieces)]
    )
    opening = draft.text[before : turn.calls[0].start]
    assert opening.strip() in ("", '"', "<|assistant|>")  # a header inside the turn is no call
    assert not second.endswith(("]", "<|called|>"))


def test_answers_end_with_the_token_that_the_model_stops_with(
    family: str, renderers: dict[str, Renderer]
) -> None:
    draft = renderers[family].draft(conversation(family))
    stops = {
        turn.index: draft.text[slice(*turn.stop)] if turn.stop else ""
        for turn in draft.turns
        if turn.role == "assistant"
    }
    if family == "ended by the next":
        assert stops == {2: "<|tool|>", 5: "<|user|>", 7: ""}
    elif family == "closed in the next":
        assert stops == {2: "<|end|>", 5: "<|end|>", 7: "<|end|>"}
    else:
        assert stops == {2: "<|end|>", 5: "<|end|>", 7: "<|end|>"}
    for turn in draft.turns:
        if turn.stop:
            assert turn.content_end == turn.stop[1]


def test_an_answer_starts_behind_a_header_that_is_not_the_one_asked_with(
    smollm2_renderer: Renderer,
) -> None:
    """The template asks with a newline where it prints a title behind the role."""
    source = (
        "{% for m in messages %}<|end|>{{ m.role }} {{ m.content[:3] }}\n{{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<|end|>assistant\n{% endif %}"
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    draft = renderer.draft([CONVERSATION[1], CONVERSATION[5]])
    assert draft.text[draft.turns[1].own_start :].strip() == "ans\nanswer one"


def test_calls_behind_an_end_of_turn_and_a_header_are_a_turn_of_their_own(
    smollm2_renderer: Renderer,
) -> None:
    """The model stops behind the text, and is asked for the calls: the header is not its own."""
    source = (
        "{% for m in messages %}{% if m.content or not m.tool_calls %}<|{{ m.role }}|>"
        "{{ m.content }}<|end|>{% endif %}{% if m.tool_calls %}<|assistant|><|calls|>"
        "{% for c in m.tool_calls %}<|call|>{{ c.function | tojson }}<|done|>{% endfor %}"
        "<|called|><|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    messages = conversation("")
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    draft = renderer.draft(messages)
    assert [turn.index for turn in draft.turns] == [0, 1, 2, 2, 3, 4, 5, 6, 7]
    said, called = draft.turns[2:4]
    assert draft.text[said.own_start : said.content_end] == "look here<|end|>"
    own = draft.text[called.own_start : called.content_end]
    assert own.startswith("<|calls|><|call|>") and own.endswith("<|called|><|end|>")
    assert [call.name for call in called.calls] == ["get_it", "put_it"]
    assert not said.calls and not called.pieces
    headers = [
        draft.text[each.start : each.end] for each in draft.stretches if each.kind == "header"
    ]
    assert headers.count("<|assistant|>") == 4
    spans = spans_of(draft.turns, renderer.render(messages).tokens)["message_spans"]
    assert [span["message_index"] for span in spans] == [0, 1, 2, 2, 3, 4, 5, 6, 7]


def test_positions_of_ends_are_the_ends_of_turns(
    family: str, renderers: dict[str, Renderer]
) -> None:
    """Of every answer, and of other turns that end with the same token; nothing else."""
    renderer = renderers[family]
    rendered = renderer.render(conversation(family))
    writer = RowWriter(renderer, default_settings(RowSettings, max_length=10**6))
    trace: Any = make_trace(conversation(family))
    line = writer.row(trace, rendered, None, tools_included=False).line
    positions = orjson.loads(line)["special_tokens"]["eos_positions"]
    stops: dict[bool, set[int]] = {True: set(), False: set()}
    for turn in rendered.draft.turns:
        if turn.stop:
            stops[turn.role == "assistant"].add(rendered.tokens.start(turn.stop[0]))
    assert stops[True] <= set(positions) <= stops[True] | stops[False]


NUMBERS = {"big": 12345678901234567890, "day": "2024-01-02", "share": 1e22}


def test_numbers_and_dates_in_calls_are_all_there(
    family: str, renderers: dict[str, Renderer]
) -> None:
    messages = conversation(family)
    messages[2] = {**messages[2], "tool_calls": [a_call(0, "get_it", **NUMBERS), CALLS[1]]}
    draft = renderers[family].draft(messages)
    turn = next(turn for turn in draft.turns if turn.index == 2)
    shown = draft.text[turn.calls[0].start : turn.calls[0].end]
    assert all(form in shown for form in ("12345678901234567890", "2024-01-02", "1e+22"))


def test_answers_start_behind_the_generation_prompt(
    family: str, renderers: dict[str, Renderer]
) -> None:
    draft = renderers[family].draft(conversation(family))
    for turn in draft.turns:
        if turn.role == "assistant":
            assert draft.text[: turn.own_start].rstrip().endswith("<|assistant|>")
            own = draft.text[turn.own_start : turn.content_end]
            assert "ask" not in own
            assert "found" not in own


def test_turns_share_no_token(family: str, renderers: dict[str, Renderer]) -> None:
    rendered = renderers[family].render(conversation(family))
    spans = spans_of(rendered.draft.turns, rendered.tokens)
    turns = spans["message_spans"]
    assert [turn["message_index"] for turn in turns] == list(range(8))
    assert all(left["token_end"] <= right["token_start"] for left, right in pairwise(turns))
    for turn in turns:
        order = ("token_start", "content_start", "content_end", "token_end")
        assert [turn[key] for key in order] == sorted(turn[key] for key in order)


def test_a_prompt_is_the_beginning_of_the_text(family: str, renderers: dict[str, Renderer]) -> None:
    messages = conversation(family)
    for index in (2, 5, 7):
        prompt = renderers[family].prompt_text(messages[:index])
        draft = renderers[family].draft(messages)
        turn = next(turn for turn in draft.turns if turn.index == index)
        assert prompt == draft.text[: turn.own_start]


WORDS = st.text(alphabet="ab \n'\"\\é😀<", max_size=6)
VALUES = st.one_of(WORDS, st.integers(-5, 10**23), st.booleans())
TURN = st.fixed_dictionaries(
    {
        "ask": WORDS,
        "say": WORDS,
        "calls": st.lists(st.dictionaries(WORDS, VALUES, max_size=2), max_size=2),
    }
)


def generated(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for place, turn in enumerate(turns):
        messages.append({"role": "user", "content": f"u{place}q {turn['ask']}"})
        said = {"role": "assistant", "content": f"a{place}q {turn['say']}"}
        calls = [
            a_call(
                10 * place + number,
                f"tool{place}{number}",
                **{f"k{key}": value for key, value in given.items()},
            )
            for number, given in enumerate(turn["calls"])
        ]
        messages.append({**said, "tool_calls": calls} if calls else said)
        messages += [
            a_result(10 * place + number, call["function"]["name"], f"r{place}{number}q")
            for number, call in enumerate(calls)
        ]
    return messages


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(turns=st.lists(TURN, min_size=1, max_size=3))
def test_generated_conversations(
    turns: list[dict[str, Any]], family: str, renderers: dict[str, Renderer]
) -> None:
    messages = generated(turns)
    if family == "messages in a turn":
        messages = [
            {**each, "content": ""} if each.get("tool_calls") else each for each in messages
        ]
    draft = renderers[family].draft(messages)
    assert "".join(text for _, text, _ in classes(draft)) == draft.text
    unique = {f"u{place}q" for place in range(9)} | {f"a{place}q" for place in range(9)}
    for turn in draft.turns:
        message = messages[turn.index]
        own = draft.text[turn.own_start : turn.content_end]
        mine = {word for word in unique if word in message["content"]}
        assert {word for word in unique if word in own} == mine
        assert [call.name for call in turn.calls] == [
            call["function"]["name"] for call in message.get("tool_calls", ())
        ]
        for call in turn.calls:
            assert draft.text[call.name_start : call.name_end] == call.name
            assert not any(word in draft.text[call.start : call.end] for word in unique)


def test_a_stretch_that_belongs_to_two_things_is_a_reject() -> None:
    first, second = (Turn(index, "user", 2 * index, 5, 3, 5, 3) for index in (0, 1))
    with pytest.raises(Reject, match=r"partition_broken: characters \[2, 5\) of 9"):
        partition([first, second], 9)


def test_an_answer_s_own_reasoning_is_reasoning_and_a_user_s_is_text(
    renderers: dict[str, Renderer],
) -> None:
    renderer = renderers["a list"]
    text = "<think>so it is</think>done"
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    rendered = renderer.render(messages)
    user, answer = rendered.draft.turns
    assert user.thinking == []
    ((start, end),) = answer.thinking
    assert rendered.draft.text[start:end] == "<think>so it is</think>"
    assert answer.content_start == end
    ids = rendered.tokens.ids()
    opening = renderer.tokenizer.control["<think>"].id
    assert ids.count(opening) == 1
    assert ids.index(opening) == rendered.tokens.start(start)
    assert rendered.draft.control_text == [(0, "</think>", 1), (0, "<think>", 1)]
    strict = family_renderer(FAMILIES["a list"], renderer.tokenizer)
    strict.settings = replace(renderer.settings, control_tokens="reject")
    said = {"role": "user", "content": "ask"}
    assert strict.draft([said, messages[1]]).turns[1].thinking
    with pytest.raises(Reject, match="control_token_in_content: '<think>'"):
        strict.draft(messages)


def test_control_token_text_in_ascii_json_is_what_it_would_be_without_its_meaning(
    renderers: dict[str, Renderer],
) -> None:
    renderer = renderers["ascii"]
    content = "é <\uff5cbar\uff5c> <|end|> \U0001f600"
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "yes"}]
    rendered = renderer.render(messages)
    shown = '"\\u00e9 <\\uff5cbar\\uff5c> <|end|> \\ud83d\\ude00"'
    assert rendered.draft.text == f'<|user|>{shown}<|end|><|assistant|>"yes"<|end|>'
    ends = renderer.tokenizer.control["<|end|>"].id
    assert rendered.tokens.ids().count(ends) == 2


ASKS_AFTER_USERS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}{% if messages[-1].role == 'user' %}<|assistant|>"
    "{% else %}ASKS{% endif %}{% endif %}"
)
ANSWERED = [
    {"role": "user", "content": "ask"},
    {"role": "assistant", "content": ""},
    a_result(1, "put_it", "found"),
    {"role": "assistant", "content": "yes"},
]


@pytest.mark.parametrize("asks", ["<|calls|>", "<|user|>", "answer:"])
def test_a_template_that_asks_otherwise_than_it_prints_is_a_reject(
    asks: str, smollm2_renderer: Renderer
) -> None:
    source = ASKS_AFTER_USERS.replace("ASKS", asks)
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    with pytest.raises(Reject, match=r"spans_disagree: message 3.* for which it does not ask"):
        renderer.draft(ANSWERED)


@pytest.mark.parametrize("end", ["", "<|end|>", "<|end|>\n", "\n"])
def test_a_header_is_the_template_s_where_it_asks_for_nothing(
    end: str, smollm2_renderer: Renderer
) -> None:
    """As DiffusionGemma: it asks behind users alone, and prints the same header behind results; the
    end of the result, too, where an answer follows it.
    """
    source = ASKS_AFTER_USERS.replace("ASKS", "").replace(
        "<|end|>{% endfor %}",
        "{% if m.role != 'tool' %}<|end|>{% elif not loop.last %}END{% endif %}{% endfor %}",
    )
    source = source.replace("END", "{{ " + repr(end) + " }}")  # a newline behind a tag is trimmed
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    assert renderer.prompt_text(ANSWERED[:3]).endswith("<|tool|>found")
    turn = renderer.draft(ANSWERED).turns[3]
    text = f"<|user|>ask<|end|><|assistant|><|end|><|tool|>found{end}<|assistant|>yes<|end|>"
    assert renderer.draft(ANSWERED).text == text
    assert text[turn.own_start : turn.content_end] == "yes<|end|>"
    assert text[turn.start : turn.own_start] == "<|assistant|>"


def test_a_template_that_never_asks_has_no_header_to_know(smollm2_renderer: Renderer) -> None:
    """The prompt ends before it, so that only the model can write it."""
    source = ASKS_AFTER_USERS[: ASKS_AFTER_USERS.index("{% if add")]
    draft = family_renderer(source, smollm2_renderer.tokenizer).draft(ANSWERED)
    turn = draft.turns[3]
    assert draft.text[turn.own_start : turn.content_end] == "<|assistant|>yes<|end|>"


def test_an_earlier_message_that_is_printed_again_is_a_reject(smollm2_renderer: Renderer) -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
        "{% if loop.last %}{{ messages[0].content }}{% endif %}<|end|>{% endfor %}"
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    messages = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "yes"}]
    with pytest.raises(Reject, match="message_rendered_twice: message 0"):
        renderer.draft(messages)
