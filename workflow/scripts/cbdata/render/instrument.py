"""Marks in a chat template's syntax tree, and the Jinja environment that Hugging Face gives to chat
templates.

Every loop that prints gets one output node at the start and one at the end of its body (and before
each ``break`` and ``continue``). They print an empty TracedText that says which message or tool
call the loop variable is. Whitespace control has already happened in Jinja's lexer and the printed
text is empty, so the rendered text is that of the plain template.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from cbdata.render import traced_text

VISIT_START, VISIT_END, CONCAT = "cb_visit_start", "cb_visit_end", "cb_concat"
DATE_FORMAT = "%d %b %Y"
DICT_ATTRIBUTES = frozenset(dir(dict))
LOOP_ATTRIBUTES = frozenset(name for name in dir(LoopContext) if not name.startswith("_"))
TEXT_METHODS = frozenset(("startswith", "endswith", "strip", "lstrip", "rstrip", "split"))


class GenerationTag(Extension):
    """``{% generation %}...{% endgeneration %}``, which some templates put around the model's text:
    parsed, and not relied on.
    """

    tags = {"generation"}  # noqa: RUF012 (Jinja's own interface)

    def parse(self, parser: Any) -> nodes.Node:
        """The body alone, in a scope of its own."""
        line = next(parser.stream).lineno
        return nodes.Scope(
            parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line
        )


class Marks:
    """What the objects that a template works on are, by ``id(object)``: set anew for each
    conversation.

    ``start`` and ``end`` hold the empty texts to print for a message or call, ``values`` the origin
    of a call's arguments.
    """

    def __init__(self) -> None:
        self.start: dict[int, traced_text.TracedText] = {}
        self.end: dict[int, traced_text.TracedText] = {}
        self.values: dict[int, traced_text.Origin] = {}

    def visit_start(self, value: Any) -> str:
        """Return the empty text that marks the start of a message or call."""
        return self.start.get(id(value), "")

    def visit_end(self, value: Any) -> str:
        """Return the empty text that marks its end."""
        return self.end.get(id(value), "")


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up for chat templates, with origins kept through joins, and a
    shorter way to dict items.
    """

    concat = staticmethod(traced_text.concat)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What the sandbox gives, sooner: items of dicts, public attributes of loops and
        namespaces, and harmless methods of strings.
        """
        kind = type(obj)
        if kind is dict and attribute not in DICT_ATTRIBUTES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if (kind is LoopContext and attribute in LOOP_ATTRIBUTES) or (
            attribute in TEXT_METHODS and isinstance(obj, str)
        ):
            return getattr(obj, attribute)
        if kind is Namespace and not attribute.startswith("_"):
            try:
                return getattr(obj, attribute)
            except AttributeError:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


def environment(date: str, marks: Marks) -> ChatEnvironment:
    """A sandboxed environment with transformers' filters and globals, in which today is ``date``
    (as in "26 Jul 2024").

    Follows ``transformers.utils.chat_template_utils``: trim_blocks, lstrip_blocks, loop controls,
    tojson without HTML escapes, raise_exception, strftime_now. Raises ValueError for a date in
    another form.
    """
    today = datetime.strptime(date, DATE_FORMAT)

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        def dumps(item: Any) -> str:
            return json.dumps(
                item,
                ensure_ascii=ensure_ascii,
                indent=indent,
                separators=separators,
                sort_keys=sort_keys,
            )

        return traced_text.dump_json(value, dumps, marks.values)

    env = ChatEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.filters[VISIT_START], env.filters[VISIT_END], env.filters[CONCAT] = (
        marks.visit_start,
        marks.visit_end,
        traced_text.concat,
    )
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = today.strftime
    return env


def compile_marked(env: ChatEnvironment, source: str) -> jinja2.Template:
    """Compile a template with the marks in it. Raises jinja2.TemplateSyntaxError."""
    tree = env.parse(source)
    for node in list(tree.find_all(nodes.Concat)):
        _replace(tree, node, lambda old: _filter(CONCAT, nodes.List(old.nodes, lineno=old.lineno)))
    for loop in list(tree.find_all(nodes.For)):
        if next(loop.find_all((nodes.Output, nodes.Call)), None) is not None:
            _mark_loop(loop)
    tree.set_environment(env)
    code = env.compile(tree, name="chat_template", filename="<chat template>")
    return jinja2.Template.from_code(env, code, env.make_globals(None))


def _filter(name: str, value: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)


def _replace(parent: nodes.Node, old: nodes.Node, make: Callable[[Any], nodes.Node]) -> None:
    """Put ``make(old)`` where ``old`` stands below ``parent``."""
    for field, value in parent.iter_fields():
        if value is old:
            setattr(parent, field, make(old))
        elif isinstance(value, list) and any(item is old for item in value):
            setattr(parent, field, [make(old) if item is old else item for item in value])
    for child in parent.iter_child_nodes():
        if child is not old:
            _replace(child, old, make)


def _mark_loop(loop: nodes.For) -> None:
    target = loop.target
    names = [
        name.name
        for name in ([target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name))
    ]

    def printed(mark: str) -> list[nodes.Node]:
        line = loop.lineno
        return [
            nodes.Output([_filter(mark, nodes.Name(name, "load", lineno=line))], lineno=line)
            for name in names
        ]

    def before_leaving(body: list[nodes.Node]) -> list[nodes.Node]:
        out: list[nodes.Node] = []
        for node in body:
            if isinstance(node, (nodes.Break, nodes.Continue)):
                out += printed(VISIT_END)
            elif not isinstance(node, nodes.For):  # a loop inside has its own break
                for field in ("body", "elif_", "else_"):
                    if isinstance(getattr(node, field, None), list):
                        setattr(node, field, before_leaving(getattr(node, field)))
            out.append(node)
        return out

    loop.body = [*printed(VISIT_START), *before_leaving(loop.body), *printed(VISIT_END)]
