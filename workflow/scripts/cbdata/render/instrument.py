"""Marks in a chat template's syntax tree.

Every loop that prints gets one output node at the start and one at the end of its body (and before
each ``break`` and ``continue``), and so do macros and messages that a loop over numbers looks up.
They print an empty TracedText that says which message or tool call the variable is. Text that the
template puts into a variable instead of printing it carries the same as its origin. Whitespace
control has already happened in Jinja's lexer and the printed text is empty, so the rendered text is
that of the plain template.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jinja2
from jinja2 import nodes

from cbdata.render import traced_text
from cbdata.render.growing import ENDS, GROW, GROW_FRONT, grown_attribute, grown_front
from cbdata.render.known_json import KnownJson

VISIT_START, VISIT_END, CONCAT = "cb_visit_start", "cb_visit_end", "cb_concat"
MESSAGE_START, MESSAGE_END, LITERAL = "cb_message_start", "cb_message_end", "cb_literal"
PERCENT = "cb_percent"
QUIET_METHODS = frozenset(
    ("endswith", "get", "items", "keys", "lstrip", "rstrip", "split", "startswith", "strip")
)
QUIET_FUNCTIONS = frozenset(("namespace", "range"))


class Marks:
    """What the objects that a template works on are, by ``id(object)``: set anew for each
    conversation.

    ``start`` and ``end`` hold the empty texts to print for a message or call, ``values`` the origin
    of a call's arguments, ``hidden`` what hidden characters stand for, ``scope`` the messages and
    calls that loops are at, ``tools`` what is known of the tools from other conversations.
    """

    def __init__(self) -> None:
        self.start: dict[int, traced_text.TracedText] = {}
        self.end: dict[int, traced_text.TracedText] = {}
        self.values: dict[int, traced_text.Origin] = {}
        self.hidden: Mapping[str, str] = {}
        self.scope: list[traced_text.Origin] = []
        self.tools: KnownJson | None = None

    def clear(self) -> None:
        """Forget the conversation before."""
        self.start, self.end, self.values, self.hidden, self.scope = {}, {}, {}, {}, []
        self.tools = None

    def visit_start(self, value: Any) -> str:
        """Return the empty text that marks the start of a message or call."""
        mark = self.start.get(id(value))
        if mark is None:
            return ""
        self.scope.append(mark.parts[0].origin)
        return mark

    def visit_end(self, value: Any) -> str:
        """Return the empty text that marks its end."""
        mark = self.end.get(id(value))
        if mark is None:
            return ""
        leave(self.scope, mark.parts[0].origin)
        return mark

    def around(self, value: Any) -> tuple[str, str] | None:
        """The empty texts that mark start and end of a message or call, without visiting it."""
        start = self.start.get(id(value))
        return None if start is None else (start, self.end[id(value)])

    def message_start(self, value: Any) -> str:
        """As ``visit_start``, for messages alone."""
        mark = self.start.get(id(value))
        return "" if mark is None or mark.parts[0].origin.call >= 0 else self.visit_start(value)

    def message_end(self, value: Any) -> str:
        """As ``visit_end``, for messages alone."""
        mark = self.end.get(id(value))
        return "" if mark is None or mark.parts[0].origin.call >= 0 else self.visit_end(value)

    def literal(self, value: str) -> str:
        """Text of the template that is not printed at once, with where it comes from."""
        if not self.scope:
            return value
        _, message, call, _ = at_work(self.scope)
        return traced_text.traced(value, traced_text.Origin("literal", message, call))


def at_work(scope: list[traced_text.Origin]) -> traced_text.Origin:
    """The message or call that text is printed for: of the messages that loops are at, the latest
    one of the conversation; a template that looks back at another one does so for it.
    """
    latest = scope[-1]
    if len(scope) == 1:
        return latest
    for origin in reversed(scope):
        if origin[1] > latest[1]:
            latest = origin
    return latest


def leave(scope: list[traced_text.Origin], origin: traced_text.Origin) -> None:
    """Take the innermost visit of a message or call off the stack, and what was left open in it."""
    if scope and scope[-1][1:3] == origin[1:3]:
        scope.pop()
        return
    for index in range(len(scope) - 2, -1, -1):
        if scope[index][1:3] == origin[1:3]:
            del scope[index:]
            return


def compile_marked(env: jinja2.Environment, source: str) -> jinja2.Template:
    """Compile a template with the marks in it. Raises jinja2.TemplateSyntaxError."""
    tree = env.parse(source)
    grown = set()
    for assign in list(tree.find_all(nodes.Assign)):
        attribute = grown_attribute(assign)
        if isinstance(assign.node, (nodes.Add, nodes.Concat, nodes.List)):
            assign.node = _with_literals(assign.node)
        if attribute:
            grown.add(attribute)
            _grow(assign)
        elif (before := grown_front(assign)) is not None:
            _grow_front(assign, before)
    for call in list(tree.find_all(nodes.Call)):
        method = call.node
        if (
            isinstance(method, nodes.Getattr)
            and method.attr == "endswith"
            and isinstance(method.node, nodes.Getattr)
            and isinstance(method.node.node, nodes.Name)
            and (method.node.node.name, method.node.attr) in grown
        ):
            name, attr = method.node.node, nodes.Const(method.node.attr, lineno=call.lineno)
            ends = nodes.Filter(name, ENDS, [attr, *call.args], [], None, None, lineno=call.lineno)
            _replace(tree, call, partial(_instead, ends))
    for node in list(tree.find_all(nodes.Concat)):
        _replace(tree, node, lambda old: _filter(CONCAT, nodes.List(old.nodes, lineno=old.lineno)))
    for mod in list(tree.find_all(nodes.Mod)):
        if isinstance(mod.left, nodes.Const) and isinstance(mod.left.value, str):
            _replace(tree, mod, _percent)
    named = {macro.name for macro in tree.find_all(nodes.Macro)}
    named |= {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    for loop in list(tree.find_all(nodes.For)):
        if _may_print(loop, QUIET_FUNCTIONS - named):
            _mark_loop(loop)
    for macro in list(tree.find_all(nodes.Macro)):
        names = [argument.name for argument in macro.args]
        start = _printed(VISIT_START, names, macro.lineno)
        end = _printed(VISIT_END, names[::-1], macro.lineno)
        macro.body = [*start, *macro.body, *end]
    tree.set_environment(env)
    code = env.compile(tree, name="chat_template", filename="<chat template>")
    return jinja2.Template.from_code(env, code, env.make_globals(None))


def _may_print(loop: nodes.For, quiet: Container[str]) -> bool:
    """Whether a loop prints, or puts text together to be printed later. A call may do so (of a
    macro), unless it is one of a text's methods or of the ``quiet`` functions.
    """
    if next(loop.find_all(nodes.Output), None) is not None:
        return True
    for call in loop.find_all(nodes.Call):
        match call.node:
            case nodes.Getattr(attr=name) if name in QUIET_METHODS:
                pass
            case nodes.Name(name=name) if name in quiet:
                pass
            case _:
                return True
    return any(
        node.name in (GROW, GROW_FRONT, LITERAL) for node in loop.find_all(nodes.Filter)
    ) or bool(next(loop.find_all(nodes.AssignBlock), None))


def _with_literals(value: nodes.Expr) -> nodes.Expr:
    """The expression with the template's own text in it marked."""
    match value:
        case nodes.Const(value=str(text)) if text:
            return _filter(LITERAL, value)
        case nodes.Add():
            value.left, value.right = _with_literals(value.left), _with_literals(value.right)
        case nodes.Concat():
            value.nodes = [_with_literals(node) for node in value.nodes]
        case nodes.List() | nodes.Tuple():
            value.items = [_with_literals(node) for node in value.items]
        case nodes.CondExpr():
            value.expr1 = _with_literals(value.expr1)
            value.expr2 = _with_literals(value.expr2) if value.expr2 is not None else None
    return value


def _grow(assign: nodes.Assign) -> None:
    """Let text be put behind an attribute of a namespace without a copy of what it has."""
    value = assign.node
    behind: list[tuple[nodes.Expr, bool]] = []
    while isinstance(value, (nodes.Add, nodes.Concat)):
        if isinstance(value, nodes.Concat):
            behind[:0] = [(node, True) for node in value.nodes[1:]]
            value = value.nodes[0]
        else:
            behind.insert(0, (value.right, False))
            value = value.left
    target, line = assign.target, assign.lineno
    assert isinstance(target, nodes.NSRef)
    assign.node = nodes.Filter(
        nodes.Name(target.name, "load", lineno=line),
        GROW,
        [
            nodes.Const(target.attr, lineno=line),
            nodes.List([node for node, _ in behind], lineno=line),
            nodes.Const([concat for _, concat in behind], lineno=line),
        ],
        [],
        None,
        None,
        lineno=line,
    )


def _grow_front(assign: nodes.Assign, before: list[nodes.Expr]) -> None:
    """Let text be put before an attribute of a namespace without a copy of what it has."""
    target, line = assign.target, assign.lineno
    assert isinstance(target, nodes.NSRef)
    assign.node = nodes.Filter(
        nodes.Name(target.name, "load", lineno=line),
        GROW_FRONT,
        [nodes.Const(target.attr, lineno=line), nodes.List(before, lineno=line)],
        [],
        None,
        None,
        lineno=line,
    )


def _instead(new: nodes.Node, _: nodes.Node) -> nodes.Node:
    return new


def _filter(name: str, value: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)


def _percent(mod: nodes.Mod) -> nodes.Filter:
    """``'...' % value`` as a filter."""
    return nodes.Filter(mod.left, PERCENT, [mod.right], [], None, None, lineno=mod.lineno)


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


def _printed(mark: str, names: list[str], line: int) -> list[nodes.Node]:
    """Output nodes that print the marks of variables."""
    return [
        nodes.Output([_filter(mark, nodes.Name(name, "load", lineno=line))], lineno=line)
        for name in names
    ]


BRANCHES = ("body", "elif_", "else_")


def _mark_loop(loop: nodes.For) -> None:
    line = loop.lineno
    target = loop.target
    names = [
        name.name
        for name in ([target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name))
    ]
    looked_up = sorted({name for name in _looked_up(loop.body) if name not in names})
    numbered = sorted({name for name in _looked_up(loop.body, names) if name not in names})
    looked_up = [name for name in looked_up if name not in numbered]

    def end() -> list[nodes.Node]:
        inner = [*_printed(MESSAGE_END, looked_up, line), *_printed(VISIT_END, numbered, line)]
        return [*inner, *_printed(VISIT_END, names, line)]

    def marked(body: list[nodes.Node]) -> list[nodes.Node]:
        out: list[nodes.Node] = []
        for node in body:
            if isinstance(node, (nodes.Break, nodes.Continue)):
                out += end()
            elif not isinstance(node, nodes.For):  # a loop inside has its own
                for field in BRANCHES:
                    if isinstance(getattr(node, field, None), list):
                        setattr(node, field, marked(getattr(node, field)))
            if isinstance(node, nodes.AssignBlock):  # its text may be printed anywhere
                node.body = [*start, *node.body, *_printed(VISIT_END, names[::-1], line)]
            out.append(node)
            if (name := _target(node)) in looked_up:
                out += _printed(MESSAGE_START, [str(name)], line)
            if (name := _target(node, names)) in numbered:
                out += _printed(VISIT_START, [str(name)], line)
        return out

    start = _printed(VISIT_START, names, line)
    loop.body = [*start, *marked(loop.body), *end()]


def _target(node: nodes.Node, numbers: Sequence[str] | None = None) -> str | None:
    """The variable that an assignment gives an item of a list to; with ``numbers``, the item that
    one of these variables counts, or something of it.
    """
    if not (isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name)):
        return None
    if numbers is None:
        return node.target.name if isinstance(node.node, nodes.Getitem) else None
    value = node.node
    while isinstance(value, (nodes.Getitem, nodes.Getattr)):
        counted = value.arg if isinstance(value, nodes.Getitem) else None
        if isinstance(counted, nodes.Name) and counted.name in numbers:
            return node.target.name
        value = value.node
    return None


def _looked_up(body: list[nodes.Node], numbers: Sequence[str] | None = None) -> Iterator[str]:
    for node in body:
        if (name := _target(node, numbers)) is not None:
            yield name
        if not isinstance(node, nodes.For):
            for field in BRANCHES:
                inside = getattr(node, field, None)
                if isinstance(inside, list):
                    yield from _looked_up(inside, numbers)
