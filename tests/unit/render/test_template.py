"""Chat templates: marks change no character, and name every message whatever the template's
constructs are.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cbdata.paths import CHAT_TEMPLATES
from cbdata.rejects import Reject
from cbdata.render.environment import environment
from cbdata.render.instrument import VISIT_START, Marks, compile_marked
from cbdata.render.settings import TokenizerError
from cbdata.render.template import ChatTemplate, check_pin, template_sha256

MESSAGES = [
    {"role": "system", "content": " be  good "},
    {"role": "user", "content": "a question"},
    {"role": "assistant", "content": "an answer"},
    {"role": "tool", "content": 'line\nline "é"', "tool_call_id": "c1"},
    {"role": "assistant", "content": "done"},
]
CONSTRUCTS = {
    "plain loop": "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}",
    "item access": (
        "{%- for m in messages -%}[{{ m['role'] }}]{{ m['content'] | trim }}{%- endfor -%}"
    ),
    "tilde": "{% for m in messages %}{{ '[' ~ m.role ~ ']' ~ m.content ~ ';' }}{% endfor %}",
    "set block": (
        "{% for m in messages %}{% set body %}<{{ m.content }}>{% endset %}[{{ m.role }}]{{ body |"
        " trim }}{% endfor %}"
    ),
    "macro": (
        "{% macro show(m) %}[{{ m.role }}]{{ m.content }}{% endmacro %}{% for m in messages %}{{"
        " show(m) }}{% endfor %}"
    ),
    "namespace": (
        "{% set ns = namespace(text='') %}{% for m in messages %}{% set ns.text = ns.text + '[' +"
        " m.role + ']' + m.content %}{% endfor %}{{ ns.text }}"
    ),
    "index loop": (
        "{% for i in range(messages | length) %}{% set m = messages[i] %}[{{ m.role }}]{{ m.content"
        " }}{% endfor %}"
    ),
    "filtered loop": (
        "[system]{{ messages[0].content }}{% for m in messages if m.role != 'system' %}[{{ m.role"
        " }}]{{ m.content }}{% endfor %}"
    ),
    "slice": (
        "[system]{{ messages[0]['content'] }}{% for m in messages[1:] %}[{{ m.role }}]{{ m.content"
        " }}{% endfor %}"
    ),
    "continue": (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'tool' %}.{% continue"
        " %}{% endif %};{% endfor %}"
    ),
    "generation tag": (
        "{% for m in messages %}[{{ m.role }}]{% generation %}{{ m.content }}{% endgeneration %}{%"
        " endfor %}"
    ),
    "two loops": (
        "{% for m in messages %}{% if m.role == 'x' %}{{ m.content }}{% endif %}{% endfor %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    ),
    "loop that only looks": (
        "{% set ns = namespace(last=-1) %}{% for m in messages[::-1] %}{% if m.role == 'user' and"
        " not m.content.startswith('<') %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
        "{{ ns.last }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    ),
    "macro named as a function": (
        "{% macro range(m) %}[{{ m.role }}]{{ m.content }}{% endmacro %}{% set ns ="
        " namespace(text='') %}{% for m in messages %}{% set ns.text = ns.text + range(m) %}"
        "{% endfor %}{{ ns.text }}"
    ),
    "percent": "{% for m in messages %}{{ '[%s]%s' % (m.role, m.content) }}{% endfor %}",
    "percent of one": (
        "{% for m in messages %}[{{ '%s' % m.role }}]{{ 'a%sb' % m.content }}{% endfor %}"
    ),
    "join method": "{% for m in messages %}{{ ']'.join(['[' + m.role, m.content]) }}{% endfor %}",
    "indent": "{% for m in messages %}[{{ m.role }}]{{ m.content | indent(3, true) }}{% endfor %}",
    "indent by text": (
        "{% for m in messages %}[{{ m.role }}]{{ m.content | indent('> ', blank=true) }}"
        "{% endfor %}"
    ),
    "json": "{% for m in messages %}[{{ m.role }}]{{ m.content | tojson }}{% endfor %}",
    "date": (
        "{{ strftime_now('%Y-%m-%d') }} {{ date_string }}{% for m in messages %}[{{ m.role }}]{{"
        " m.content }}{% endfor %}"
    ),
}


def plain_text(source: str) -> str:
    """The template without marks, set up by hand."""
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    env.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    source = (
        source.replace("{% generation %}", "")
        .replace("{% endgeneration %}", "")
        .replace("{{ strftime_now('%Y-%m-%d') }}", "2024-07-26")
    )
    return env.from_string(source).render(messages=MESSAGES, date_string="26 Jul 2024")


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_marks_change_nothing_and_content_is_traced(construct: str) -> None:
    source = CONSTRUCTS[construct]
    text, parts = ChatTemplate(source, construct, {}, "26 Jul 2024").render(MESSAGES, None)
    assert text == plain_text(source)
    for index, message in enumerate(MESSAGES):
        pieces = [part for part in parts if part.origin[:2] == ("content", index)]
        shown = "".join(text[part.start : part.end] for part in pieces)
        wanted = message["content"]
        if construct == "json":
            wanted = json.dumps(wanted, ensure_ascii=False)[1:-1]
        if construct.startswith("indent"):  # its line breaks and margins are the filter's
            wanted = wanted.replace("\n", "")
        assert shown.strip() == wanted.strip()


@pytest.mark.parametrize(
    ("called", "marked"),
    [
        ("m.content.strip()", False),
        ("namespace(a=m)", False),
        ("range(3)", False),
        ("show(m)", True),
        ("ns.show(m)", True),
        ("raise_exception('no')", True),
    ],
)
def test_a_loop_that_may_print_marks_its_messages(called: str, marked: bool) -> None:
    tree = (
        "{% macro show(m) %}x{% endmacro %}{% for m in messages %}{% if false %}{% set _ = "
        f"{called} %}}{{% endif %}}{{% endfor %}}"
    )
    env = environment("26 Jul 2024", Marks())
    seen: list[object] = []
    env.filters[VISIT_START] = lambda value: seen.append(value) or ""
    compile_marked(env, tree).render(messages=MESSAGES)
    assert seen == (MESSAGES if marked else [])


def test_date_must_be_a_date() -> None:
    with pytest.raises(TokenizerError, match="template_date 'today'"):
        ChatTemplate("{{ messages }}", "made", {}, "today")


def test_syntax_error_names_the_line() -> None:
    with pytest.raises(TokenizerError, match="line 2"):
        ChatTemplate("{% for m in messages %}\n{% if %}", "made", {}, "26 Jul 2024")


def test_template_that_refuses_or_fails_rejects_the_conversation() -> None:
    refuses = (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif"
        " %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(Reject, match="template_refused: made: no tools"):
        ChatTemplate(refuses, "made", {}, "26 Jul 2024").render(MESSAGES, None)
    with pytest.raises(Reject, match="template_error: made: TypeError"):
        ChatTemplate(
            "{% for m in messages %}{{ m.content + 1 }}{% endfor %}", "made", {}, "26 Jul 2024"
        ).render(MESSAGES, None)


def test_templates_cannot_reach_python() -> None:
    template = ChatTemplate(
        "{{ messages[0].content.__class__.__mro__ }}", "made", {}, "26 Jul 2024"
    )
    with pytest.raises(Reject, match="SecurityError"):
        template.render(MESSAGES, None)


def test_every_template_of_the_project_is_pinned() -> None:
    pins = json.loads((CHAT_TEMPLATES / "pins.json").read_text())
    files = {
        file.stem: template_sha256(file.read_text(encoding="utf-8"))
        for file in CHAT_TEMPLATES.glob("*.jinja")
    }
    assert files == pins
    readme = (CHAT_TEMPLATES / "README.md").read_text(encoding="utf-8")
    assert all(name in readme for name in files)


def test_changed_template_is_refused() -> None:
    with pytest.raises(TokenizerError, match="review the change"):
        check_pin("llama31_tools", "something else")


def test_project_template_is_what_the_pin_file_says_on_disk(repo: Path) -> None:
    assert repo / "configs" / "chat_templates" == CHAT_TEMPLATES
