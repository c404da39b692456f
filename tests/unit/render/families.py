"""Small chat templates, each doing one thing that some family of models does, and a renderer for
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cbdata.config import default_settings
from cbdata.render.probes import probe_landmarks
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import ControlToken, PlainTokenizer, control_pattern

PLAIN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
LOOP = "{% for m in messages %}{% if m.role != 'assistant' %}<|{{ m.role }}|>{{ m.content }}<|end|>"
CLOSE = "{% endif %}{% endfor %}"
CALL = (
    '\'{"name": "\' + c.function.name + \'", "arguments": \''
    " + c.function.arguments | tojson + '}'"
)

FAMILIES = {
    # The text, the header and the section's opening in the first call's pass (DeepSeek V3)
    "all in the pass": (
        LOOP + "{% else %}{% if m.tool_calls %}{% for c in m.tool_calls %}{% if loop.first %}"
        "{{ '<|assistant|>' + m.content + '<|calls|><|call|>' + c.function.name + '\n' +"
        " c.function.arguments | tojson + '<|done|>' }}{% else %}{{ '\n<|call|>' + c.function.name"
        " + '\n' + c.function.arguments | tojson + '<|done|>' }}{% endif %}{% endfor %}"
        "<|called|><|end|>{% else %}<|assistant|>{{ m.content }}<|end|>{% endif %}" + CLOSE + ASK
    ),
    # A list of calls whose closing and end of turn are printed in the last call's pass (Mistral)
    "a list": (
        LOOP + "{% else %}<|assistant|>{{ m.content }}{% if m.tool_calls %}<|calls|>["
        "{% for c in m.tool_calls %}{{ " + CALL + " }}{% if loop.last %}{{ ']<|end|>' }}"
        "{% else %}{{ ', ' }}{% endif %}{% endfor %}{% else %}<|end|>{% endif %}" + CLOSE + ASK
    ),
    # Text arguments and reasoning in a message of its own inside the turn (gpt-oss)
    "messages in a turn": (
        LOOP + "{% else %}{% if m.thinking %}{{ '<|assistant|><think>' + m.thinking + '</think>' }}"
        "{% endif %}{% if m.tool_calls %}{% for c in m.tool_calls %}{{ '<|assistant|> to=' +"
        " c.function.name + '<|call|>' + c.function.arguments | tojson + '<|done|>' }}"
        "{% endfor %}<|end|>{% else %}<|assistant|>{{ m.content }}<|end|>{% endif %}" + CLOSE + ASK
    ),
    # The next message's first token ends an answer (GLM)
    "ended by the next": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% for c in m.tool_calls or [] %}"
        "\n<|call|>{{ c.function.name }}{% for k, v in c.function.arguments.items() %}"
        "\n<k>{{ k }}</k><v>{{ v if v is string else v | tojson }}</v>{% endfor %}<|done|>"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    # The end of a turn is printed in the next message's pass (Apertus)
    "closed in the next": (
        "{% set ns = namespace(open=false) %}{% for m in messages %}{% if ns.open %}<|end|>"
        "{% set ns.open = false %}{% endif %}{% if m.role == 'assistant' %}<|assistant|>"
        "{% set ns.open = true %}{{ m.content }}{% for c in m.tool_calls or [] %}<|call|>{{ "
        + CALL
        + " }}<|done|>{% endfor %}{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>"
        "{% set ns.open = false %}" + CLOSE + "{% if ns.open %}<|end|>{% endif %}" + ASK
    ),
    # All of it is collected in a namespace, and messages are looked up by number (Reka)
    "collected": (
        "{% set ns = namespace(out='') %}{% for i in range(messages | length) %}"
        "{% set m = messages[i] %}{% set ns.out = ns.out ~ '<|' ~ m.role ~ '|>' ~ m.content %}"
        "{% for c in m.tool_calls or [] %}{% if not ns.out.endswith('\n') %}"
        "{% set ns.out = ns.out ~ '\n' %}{% endif %}{% set ns.out = ns.out ~ '<|call|>' ~ "
        + CALL
        + " ~ '<|done|>' %}{% endfor %}{% set ns.out = ns.out + '<|end|>\n' %}{% endfor %}"
        "{% if add_generation_prompt %}{% set ns.out = ns.out + '<|assistant|>' %}{% endif %}"
        "{{ ns.out }}"
    ),
    # Calls are put together with join, text in them escaped by replacement (LFM2)
    "joined": (
        LOOP + "{% else %}<|assistant|>{{ m.content }}{% set ns = namespace(calls=[]) %}"
        "{% for c in m.tool_calls or [] %}{% set args = namespace(all=[]) %}"
        "{% for k, v in c.function.arguments.items() %}{% set args.all = args.all + [k + '=' +"
        " (\"'\" + v | replace('\\\\', '\\\\\\\\') | replace(\"'\", \"\\\\'\")"
        " | replace('\n', '\\\\n') + \"'\""
        " if v is string else v | string)] %}{% endfor %}{% set ns.calls = ns.calls +"
        " [c.function.name + '(' + args.all | join(', ') + ')'] %}{% endfor %}"
        "{% if ns.calls %}{{ '<|calls|>[' + ns.calls | join(', ') + ']<|called|>' }}{% endif %}"
        "<|end|>" + CLOSE + ASK
    ),
    # A result repeats the call, which is looked up in all messages (Solar, Command R7B: its name)
    "named results": (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'tool' %}{% for o in messages %}"
        "{% for c in o.tool_calls or [] %}{% if c.id == m.tool_call_id %}{{ c.function.name }}"
        "({{ c.function.arguments | tojson }}){% endif %}{% endfor %}"
        "{% endfor %}: {% endif %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<|call|>{{ c.id }} {{ c.function.name }} "
        "{{ c.function.arguments | tojson }}<|done|>{% endfor %}<|end|>{% endfor %}" + ASK
    ),
    # Arguments must be text (TRL's DeepSeek V3)
    "text arguments": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ '<|call|>' + c.function.name + '\n' + c.function.arguments + '<|done|>' }}{% endfor %}"
        "<|end|>{% endfor %}" + ASK
    ),
    # Non-ASCII characters are escaped; texts are marked as safe
    "ascii": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | tojson(ensure_ascii=true) | safe }}"
        "{% for c in m.tool_calls or [] %}<|call|>{{ c.function | tojson(ensure_ascii=true) }}"
        "<|done|>{% endfor %}<|end|>{% endfor %}" + ASK
    ),
    # The system message stands inside the first user turn (Gemma 3)
    "system in the user's turn": (
        "{% set first = '' %}{% set rest = messages %}{% if messages[0].role == 'system' %}"
        "{% set first = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}{% endif %}"
        "{% for m in rest %}<|{{ m.role }}|>{{ first if loop.first else '' }}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<|call|>{{ " + CALL + " }}<|done|>{% endfor %}<|end|>"
        "{% endfor %}" + ASK
    ),
    # All calls of a turn are written as one list
    "one list": (
        LOOP + "{% else %}<|assistant|>{{ m.content }}{% if m.tool_calls %}<|calls|>"
        "{{ m.tool_calls | map(attribute='function') | list | tojson(indent=2) }}<|called|>"
        "{% endif %}<|end|>" + CLOSE + ASK
    ),
    # The same as Python writes it
    "python's list": (
        LOOP + "{% else %}<|assistant|>{{ m.content }}{% if m.tool_calls %}<|calls|>"
        "{{ m.tool_calls }}<|called|>{% endif %}<|end|>" + CLOSE + ASK
    ),
    # Calls between tags that a filter joins them with
    "tags between": (
        LOOP + "{% else %}<|assistant|>{{ m.content }}{% if m.tool_calls %}{{ '<|calls|><|call|>'"
        " + (m.tool_calls | map(attribute='function') | map('tojson')"
        " | join('<|done|>\n<|call|>')) + '<|done|><|called|>' }}{% endif %}<|end|>" + CLOSE + ASK
    ),
    # Texts are put together by Python's own operators and methods, and indented
    "python's own": (
        "{% for m in messages %}{{ '<|%s|>%s' % (m.role, m.content) }}"
        "{% set ns = namespace(calls=[]) %}{% for c in m.tool_calls or [] %}{% set ns.calls ="
        " ns.calls + ['<|call|>%s<|done|>' % (c.function | tojson(indent=2) | indent(2))] %}"
        "{% endfor %}{{ '\n'.join(ns.calls) }}<|end|>{% endfor %}" + ASK
    ),
    # Messages and calls are looked up by number, the last one's end is printed by itself
    "by number": (
        "{% set ns = namespace(at=0) %}{% for _ in messages %}{% set m = messages[ns.at] %}"
        "{% if loop.previtem is defined and loop.previtem.role == 'assistant' %}<|end|>{% endif %}"
        "{{ '<|%s|>%s' | format(m['role'], m['content']) }}"
        "{% set all = m.get('tool_calls') or [] %}"
        "{% for i in range(all | length) %}{% set f = all[i]['function'] %}<|call|>{{ f['name'] }}"
        "{{ f['arguments'] | tojson }}<|done|>{% endfor %}"
        "{% if m.role != 'assistant' or loop.last %}<|end|>{% endif %}"
        "{% set ns.at = ns.at + 1 %}{% endfor %}" + ASK
    ),
    # The section is opened and closed in loops of their own, turns are put together by call blocks
    "in other loops": (
        "{% macro turn(role, close='<|end|>') %}<|{{ role }}|>{{ caller() }}{{ close }}"
        "{% endmacro %}{% for m in messages %}{% call turn(m.role) %}{% set said %}{{ m.content }}"
        "{% endset %}{{ said | trim }}{% for c in (m.tool_calls or [])[:1] %}<|calls|>"
        "{% endfor %}{% for c in m.tool_calls or [] %}<|call|>{{ c.function.name }}"
        "{% for k, v in c.function.arguments | dictsort %} {{ k }}={{ v | tojson }}{% endfor %}"
        "<|done|>{% endfor %}{% for c in (m.tool_calls or [])[-1:] %}<|called|>{% endfor %}"
        "{% endcall %}{% endfor %}" + ASK
    ),
    # Turns are captured from the last one to the first, and put before the others
    "from the end": (
        "{% set ns = namespace(out='') %}{% for m in messages[::-1] %}{% set turn %}"
        "<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}<|call|>{{ "
        + CALL
        + " }}<|done|>"
        "{% endfor %}<|end|>{{ '\n' }}{% endset %}{% set ns.out = turn ~ ns.out %}{% endfor %}"
        "{{ ns.out }}" + ASK
    ),
    # Contents are lists of blocks
    "blocks": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | map(attribute='text') | join('') }}"
        "{% for c in m.tool_calls or [] %}<|call|>{{ " + CALL + " }}<|done|>{% endfor %}<|end|>"
        "{% endfor %}" + ASK
    ),
}

CONTROL = (
    *(f"<|{role}|>" for role in ("system", "user", "assistant", "tool")),
    *("<|end|>", "<|calls|>", "<|call|>", "<|done|>", "<|called|>", "<think>", "</think>"),
    "<\uff5cbar\uff5c>",
)


def family_renderer(
    source: str, base: PlainTokenizer, eos: str = "<|end|>", more: Iterable[str] = ()
) -> Renderer:
    """A template on a tokenizer that has the families' control tokens and ``more``, and calls
    ``eos`` its end of sequence.
    """
    flags = dict.fromkeys(("special", "lstrip", "rstrip", "single_word", "normalized"), False)
    added = [
        {**flags, "id": base.model.get_vocab_size() + number, "content": text, "special": True}
        for number, text in enumerate(dict.fromkeys([*CONTROL, *more]))
    ]
    tokenizer = replace(
        base,
        control={
            each["content"]: ControlToken(each["id"], each["content"], True) for each in added
        },
        pattern=control_pattern(added),
        special={"eos_token": eos},
    )
    template = ChatTemplate(source, "made", {}, "26 Jul 2024")
    settings = default_settings(RenderSettings, tokenizer="made")
    landmarks = probe_landmarks(template, tokenizer)
    return Renderer(settings, tokenizer, "made", template, landmarks)


def a_call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    """A call of a trace."""
    return {"call_id": f"call{number:05}", "function": {"name": name, "arguments": arguments}}


def a_result(number: int, name: str, content: str) -> dict[str, Any]:
    """A tool's answer to it."""
    return {"role": "tool", "content": content, "name": name, "tool_call_id": f"call{number:05}"}
