"""JSON text of tools that many conversations show: what a template prints does not depend on
whether it is known.
"""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.render.known_json import KnownJson
from cbdata.render.template import ChatTemplate
from cbdata.tools import ToolList

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": 'says "é"',
            "parameters": {"type": "object", "properties": {"b": {}, "a": {"enum": ["y", "x"]}}},
        },
    }
    for name in ("first", "second")
]
MESSAGES = [{"role": "user", "content": "hi"}]
FORMS = {
    "the list": "{{ tools | tojson }}",
    "each": "{% for tool in tools %}{{ tool | tojson }}{% endfor %}",
    "indented": "{{ tools | tojson(indent=2) }}|{{ tools | tojson }}",
    "sorted": "{% for t in tools %}{{ t.function | tojson(sort_keys=true) }}{% endfor %}",
    "a part": (
        "{% for t in tools %}{{ t.function.name }}{{ t.function.parameters | tojson }}{% endfor %}"
    ),
    "another list": "{% if tools %}{{ (tools + [{'own': 1}]) | tojson }}{% endif %}",
    "ASCII": "{{ tools | tojson(ensure_ascii=true) }}{{ tools | tojson }}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_template_prints_the_same_each_time(form: str) -> None:
    source = FORMS[form] + "{% for m in messages %}{{ m.content }}{% endfor %}"
    template = ChatTemplate(source, "made", {}, "26 Jul 2024")
    plain, known = template.render(MESSAGES, TOOLS), ToolList(TOOLS)
    assert "first" in plain[0] and "second" in plain[0]
    for _ in range(2):
        assert template.render(MESSAGES, known) == plain
    assert template.render(MESSAGES, TOOLS) == plain
    other = [{"type": "function", "function": {"name": "third", "parameters": {}}}]
    assert template.render(MESSAGES, ToolList(other)) == template.render(MESSAGES, other)


def test_each_text_is_written_once() -> None:
    known = KnownJson(TOOLS)
    written: list[Any] = []

    def dumps(value: Any) -> str:
        written.append(value)
        return str(len(written))

    tool = known.given[0]["function"]
    assert [known.text(tool, options, dumps) for options in (None, 2, None, 2)] == list("1212")
    assert known.has(known.given) and known.has(tool) and not known.has(dict(tool))
