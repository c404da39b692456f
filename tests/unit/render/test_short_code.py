"""The shorter code prints what Jinja's own prints, and reads items of dicts without a call."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cbdata.render.environment import ChatEnvironment, environment
from cbdata.render.instrument import Marks

VALUES: dict[str, Any] = {
    "m": {"role": "user", "content": "<b>", "items": "an item", "none": None, "__class__": "mine"},
    "deep": {"er": {"est": [{"at": 1}]}},
    "text": "text",
    "number": 3,
    "name": "role",
}
EXPRESSIONS = (
    "m.role",
    "m['role']",
    "m[name]",
    "m.content",
    "m.none",
    "m.missing is defined",
    "m['missing'] is defined",
    "m.missing",
    "m.items is string",
    "m['items']",
    "m.get('role')",
    "m['__class__']",
    "m.__class__ is defined",
    "m.__class__.__mro__ is defined",
    "deep.er.est[0].at",
    "deep['er']['est'][-1]['at']",
    "deep.er.est[5] is defined",
    "text.upper()",
    "text[1:]",
    "text['role'] is defined",
    "number.real",
    "nobody is defined",
    "nobody.role is defined",
    "nobody",
    "number",
    "m.role ~ number ~ m.content",
    "[m.role, number]",
)


def chat_environment() -> ChatEnvironment:
    return environment("26 Jul 2024", Marks())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_prints_what_jinja_prints(expression: str) -> None:
    source = "{{ " + expression + " }}|{% set x = " + expression + " %}{{ x }}"
    plain = ImmutableSandboxedEnvironment()
    plain.filters["tojson"] = str
    expected = outcome(plain, source)
    assert outcome(chat_environment(), source) == expected


def outcome(env: jinja2.Environment, source: str) -> str:
    """What is printed, or the error's name."""
    try:
        return env.from_string(source).render(VALUES)
    except jinja2.TemplateError as error:
        return type(error).__name__


def test_variables_of_loops_macros_and_namespaces() -> None:
    source = (
        "{% set ns = namespace(m=m) %}{% macro say(m) %}{{ m.role }}{{ m['content'] }}"
        "{% endmacro %}"
        "{% for m in [{'role': 'a', 'content': 1}, {'role': 'b'}] %}{{ say(m) }}{{ m.role }}"
        "{% endfor %}{{ ns.m.role }}{{ say(ns.m) }}{% for k in m if m.role %}{{ k }}{% endfor %}"
    )
    assert outcome(chat_environment(), source) == outcome(ImmutableSandboxedEnvironment(), source)


def test_an_item_is_read_without_a_call() -> None:
    class Counting(ChatEnvironment):
        calls: list[str]

        def getattr(self, obj: Any, attribute: str) -> Any:
            self.calls.append(attribute)
            return super().getattr(obj, attribute)

    env = Counting()
    env.calls = []
    assert env.from_string("{{ m.role }}{{ m.keys() | list | length }}").render(VALUES) == "user5"
    assert env.calls == ["keys"]
