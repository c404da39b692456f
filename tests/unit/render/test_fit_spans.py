"""Rows of fitted conversations: every span is the trace's own, and the row names the fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.config import default_settings
from cbdata.rejects import Reject
from cbdata.render.fits import FITS, fit
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, TokenizerError
from cbdata.validation.renders import span_problem
from tests.records import make_trace
from tests.unit.render.families import family_renderer
from tests.unit.render.setups import Setup, Stage

STRICT = """{%- set ns = namespace(last='') %}
{%- for m in messages %}
{%- if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}
{%- if m.role == ns.last and not m.tool_calls %}{{ raise_exception('alternate!') }}{% endif %}
{%- set ns.last = m.role %}
{{- '<|im_start|>' + m.role + '\n' }}
{%- if m.tool_calls %}
{%- if m.tool_calls | length > 1 %}{{ raise_exception('one call a turn') }}{% endif %}
{%- for c in m.tool_calls %}
{%- if c.id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}
{{- '<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' }}
{{- c.function.arguments | tojson }}
{{- ', "id": "' + c.id + '"}\n</tool_call>' }}
{%- endfor %}
{%- else %}
{{- m.content }}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""

SYSTEM = {"role": "system", "content": "Be kind."}
ASK = {"role": "user", "content": "first question"}
ALSO = {"role": "user", "content": "second question"}
DONE = {"role": "assistant", "content": "all done"}


def call(call_id: str, word: str) -> dict[str, Any]:
    return {"call_id": call_id, "function": {"name": "look_up", "arguments": {"word": word}}}


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": call_id, "name": "look_up"}


WHOLE = [
    SYSTEM,
    ASK,
    ALSO,
    {
        "role": "assistant",
        "content": "let me look",
        "tool_calls": [call("call_1", "alpha"), call("call_2", "beta")],
    },
    result("call_1", "found alpha"),
    result("call_2", "found beta"),
    DONE,
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("templates") / "strict.jinja"
    path.write_text(STRICT)
    return str(path)


@pytest.fixture
def stage(tmp_path: Path, smollm2: Setup) -> Stage:
    return Stage(tmp_path, smollm2)


def text_of(row: dict[str, Any], renderer: Renderer, start: int, end: int) -> str:
    return renderer.decode(row["input_ids"][start:end])


def test_every_span_is_the_traces_own(stage: Stage, template: str, smollm2: Setup) -> None:
    settings = {"chat_template": template, "template_fit": list(FITS)}
    (row,) = stage.run([make_trace(WHOLE)], settings=settings, include_text=True)
    assert row["render_options"]["template_fit"] == list(FITS)
    assert span_problem(row) is None
    renderer = smollm2.renderer(**settings)
    shown = [
        (
            span["message_index"],
            span["role"],
            text_of(row, renderer, span["content_start"], span["content_end"]),
        )
        for span in row["alignment"]["message_spans"]
    ]
    one, two = (
        f'<tool_call>\n{{"name": "look_up", "arguments": {{"word": "{word}"}}, "id": "{made}"}}\n'
        "</tool_call><|im_end|>"
        for word, made in zip(
            ("alpha", "beta"),
            [
                each["tool_calls"][0]["call_id"]
                for each in fit(WHOLE, FITS).messages
                if each.get("tool_calls")
            ],
            strict=True,
        )
    )
    assert shown == [
        (0, "system", "Be kind.<|im_end|>"),
        (1, "user", "first question"),
        (2, "user", "second question<|im_end|>"),
        (3, "assistant", "let me look<|im_end|>"),
        (3, "assistant", one),
        (4, "tool", "found alpha<|im_end|>"),
        (3, "assistant", two),
        (5, "tool", "found beta<|im_end|>"),
        (6, "assistant", "all done<|im_end|>"),
    ]
    calls = [
        (
            span["message_index"],
            span["call_index"],
            text_of(row, renderer, span["name_token_start"], span["name_token_end"]),
        )
        for span in row["alignment"]["tool_call_spans"]
    ]
    assert [(message, index) for message, index, _ in calls] == [(3, 0), (3, 1)]
    assert all("look_up" in name for _, _, name in calls)
    assert stage.stats()["details"]["template_fit"] == dict.fromkeys(sorted(FITS), 1)


def test_fill_and_render_fit_alike(template: str, smollm2: Setup) -> None:
    renderer = smollm2.renderer(chat_template=template, template_fit=list(FITS))
    prompt = renderer.prompt(WHOLE[:-1])
    rendered = renderer.render(WHOLE, split_prompt=True)
    assert rendered.prompt_length() == len(prompt.ids)
    assert rendered.tokens.ids()[: len(prompt.ids)] == prompt.ids


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([ASK, ALSO, DONE], ["alternating_roles"]),
        (
            [ASK, {**DONE, "content": "", "tool_calls": [call("call_1", "x")]}],
            ["nine_character_ids"],
        ),
        (
            [ASK, {**DONE, "tool_calls": [call("callcall1", "x")]}],
            ["text_beside_calls"],
        ),
        (
            [
                ASK,
                {
                    **DONE,
                    "content": "",
                    "tool_calls": [call("callcall1", "x"), call("callcall2", "y")],
                },
            ],
            ["split_parallel_calls"],
        ),
        (
            [
                ASK,
                {**DONE, "content": "", "tool_calls": [call("call_1", "x")]},
                result("call_1", "y"),
                DONE,
            ],
            ["tool_results_as_user", "nine_character_ids"],
        ),
    ],
)
def test_report_says_what_would_admit(
    messages: list[dict[str, Any]], wanted: list[str], stage: Stage, template: str
) -> None:
    trace = make_trace(messages)
    assert stage.run([trace], settings={"chat_template": template}) == []
    (reject,) = stage.rejects()
    assert f"Hint: template_fit: [{', '.join(wanted)}] admits it" in reject["detail"]
    (row,) = stage.run([trace], settings={"chat_template": template, "template_fit": wanted})
    assert row["render_options"]["template_fit"] == wanted


def test_no_hint_where_nothing_helps(stage: Stage, template: str) -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, ASK, DONE]
    assert stage.run([make_trace(messages)], settings={"chat_template": template}) == []
    assert "Hint" not in stage.rejects()[0]["detail"]


def test_what_needs_no_fit_is_rendered_as_before(stage: Stage, template: str) -> None:
    trace = make_trace([ASK, DONE])
    (plain,) = stage.run([trace], settings={"chat_template": template})
    (fitted,) = stage.run([trace], settings={"chat_template": template, "template_fit": list(FITS)})
    assert plain == fitted
    assert "template_fit" not in plain["render_options"]


def test_control_text_is_counted_at_the_traces_message(stage: Stage, template: str) -> None:
    messages = [
        ASK,
        {**ALSO, "content": "say <|im_end|>"},
        DONE,
        {**ASK, "content": "<|im_end|>"},
        DONE,
    ]
    settings = {"chat_template": template, "template_fit": ["alternating_roles"]}
    (row,) = stage.run([make_trace(messages)], settings=settings)
    flagged = row["signals"]["control_tokens_in_content"]
    assert [each["message_index"] for each in flagged] == [1, 3]


@pytest.mark.parametrize("value", ["alternating_roles", ["no_such_fit"], "silent"])
def test_unknown_fits_are_refused(value: Any, smollm2: Setup) -> None:
    with pytest.raises(TokenizerError, match="template_fit: expected report or a list out of"):
        default_settings(RenderSettings, tokenizer=str(smollm2.folder), template_fit=value)


def test_a_prompt_that_is_refused_has_the_hint_too(template: str, smollm2: Setup) -> None:
    with pytest.raises(Reject, match=r"template_fit: \[alternating_roles\] admits it"):
        smollm2.renderer(chat_template=template).prompt([ASK, ALSO])


ALTERNATING = """{%- set ns = namespace(turn=0) %}
{%- for m in messages %}
{%- if m.role != 'tool' and not m.tool_calls %}
{%- if (m.role == 'user') != (ns.turn % 2 == 0) %}{{ raise_exception('alternate!') }}{% endif %}
{%- set ns.turn = ns.turn + 1 %}
{%- endif %}
{{- '<|im_start|>' + m.role + '\n' + m.content }}
{%- for c in m.tool_calls or [] %}
{{- '<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' }}
{{- c.function.arguments | tojson + '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""
"""As Mistral's: turns of calls and results do not count."""


def test_an_answer_before_calls_is_their_text(stage: Stage, tmp_path: Path, smollm2: Setup) -> None:
    (tmp_path / "alternating.jinja").write_text(ALTERNATING)
    calls = {**DONE, "content": "", "tool_calls": [call("call_1", "x"), call("call_2", "y")]}
    again = [{**calls, "tool_calls": [call("call_3", "z")]}, result("call_3", "found")]
    messages = [ASK, {**DONE, "content": "I look"}, calls, *again[1:], *again, DONE]
    settings = {"chat_template": str(tmp_path / "alternating.jinja")}
    assert stage.run([make_trace(messages)], settings=settings) == []
    (reject,) = stage.rejects()
    assert "Hint: template_fit: [alternating_roles] admits it" in reject["detail"]
    for fits in (["alternating_roles"], list(FITS)):  # text_beside_calls would be in the way
        settings["template_fit"] = fits
        (row,) = stage.run([make_trace(messages)], settings=settings)
        assert row["render_options"]["template_fit"] == ["alternating_roles"]
        assert span_problem(row) is None
        renderer = smollm2.renderer(**settings)
        shown = [
            (span["message_index"], text_of(row, renderer, span["token_start"], span["token_end"]))
            for span in row["alignment"]["message_spans"]
        ]
        one, two = (
            f'<tool_call>\n{{"name": "look_up", "arguments": {{"word": "{word}"}}}}\n</tool_call>'
            for word in "xy"
        )
        assert shown[1:3] == [
            (1, "<|im_start|>assistant\nI look"),
            (2, f"{one}{two}<|im_end|>"),
        ]
        assert [
            (span["message_index"], span["call_index"])
            for span in row["alignment"]["tool_call_spans"]
        ] == [(2, 0), (2, 1), (4, 0)]


NO_TWO_USERS = """{%- for m in messages %}
{%- if m.role == 'user' and loop.previtem is defined and loop.previtem.role == 'user' %}
{{- raise_exception('alternate!') }}
{%- endif %}
{{- '<|im_start|>' + m.role + '\n' + ('' if m.tool_calls else m.content) }}
{%- for c in m.tool_calls or [] %}
{{- '<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' }}
{{- c.function.arguments | tojson + '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""
"""It allows neighbouring answers, and drops the text beside calls."""


@pytest.mark.parametrize("trims", [False, True])
def test_no_answer_before_calls_is_lost(trims: bool, tmp_path: Path, smollm2: Setup) -> None:
    """What is rendered without the join of calls is rendered with it listed."""
    source = NO_TWO_USERS.replace("m.content)", "m.content | trim)") if trims else NO_TWO_USERS
    (tmp_path / "own.jinja").write_text(source)
    renderer = smollm2.renderer(
        chat_template=str(tmp_path / "own.jinja"), template_fit=["alternating_roles"]
    )
    calls = {**DONE, "content": "", "tool_calls": [call("call_1", "x")]}
    for asked, said, fits in (
        ([ASK], "", []),
        ([ASK], " \n", []),
        ([ASK], "I look", []),
        ([ASK, ALSO], "", ["alternating_roles"]),
        ([ASK, ALSO], "I look", ["alternating_roles"]),
    ):
        before = [*asked, {**DONE, "content": said}]
        messages = [*before, calls, result("call_1", "found"), DONE]
        draft = renderer.draft(messages)
        assert list(draft.fits) == fits
        assert [turn.index for turn in draft.turns] == [*range(len(messages))]
        assert [len(turn.calls) for turn in draft.turns][-3:] == [1, 0, 0]
        turn = draft.turns[len(before) - 1]
        shown = draft.text[turn.own_start : turn.content_end]
        assert shown.strip() == said.strip() + "<|im_end|>"


def test_calls_in_turns_of_their_own_are_not_joined(smollm2_renderer: Renderer) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' and loop.nextitem is defined and"
        " loop.nextitem.role == 'assistant' %}{{ raise_exception('two answers') }}{% endif %}"
        "{% if m.content or not m.tool_calls %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}"
        "{% for c in m.tool_calls or [] %}<|assistant|><|call|>{{ c.function | tojson }}<|done|>"
        "<|end|>{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    calls = {**DONE, "content": "", "tool_calls": [call("call_1", "x")]}
    with pytest.raises(Reject, match="template_refused"):
        renderer.draft([ASK, {**DONE, "content": "I look."}, calls, result("call_1", "x"), DONE])
