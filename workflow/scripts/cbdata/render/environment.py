"""The Jinja environment that Hugging Face gives to chat templates, with origins kept through what
templates do with text.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

import jinja2
from jinja2 import nodes, pass_context, pass_environment
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import make_attrgetter
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from cbdata.render import instrument, traced_text
from cbdata.render.growing import (
    ENDS,
    GROW,
    GROW_FRONT,
    Growing,
    ends,
    grow,
    grow_front,
    stored,
)
from cbdata.render.instrument import Marks
from cbdata.render.json_text import dump, shown
from cbdata.render.safe_text import escape_html, mark_safe
from cbdata.render.short_code import DICT_ATTRIBUTES, ShortCode
from cbdata.render.traced_json import Known, dump_json

DATE_FORMAT = "%d %b %Y"
LOOP_ATTRIBUTES = frozenset(name for name in dir(LoopContext) if not name.startswith("_"))
TEXT_METHODS = frozenset(("startswith", "endswith", "strip", "lstrip", "rstrip", "split"))
OWN_METHODS = frozenset(dir(traced_text.TracedText)) - frozenset(dir(str)) | {"parts"}


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


TRACEABLE = (traced_text.TracedText, list, dict)
"""What may have origins when it is written as text."""


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up for chat templates, with origins kept through joins, and a
    shorter way to dict items.
    """

    concat = staticmethod(traced_text.concat)
    code_generator_class = ShortCode

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What the sandbox gives, sooner: items of dicts, public attributes of loops and
        namespaces, and harmless methods of strings.
        """
        kind = type(obj)
        if kind is dict and attribute not in DICT_ATTRIBUTES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, str):
            if attribute in TEXT_METHODS:
                return getattr(obj, attribute)
            if attribute == "join" and not hasattr(obj, "__html__"):
                return partial(traced_text.join, str.__str__(obj))
            if attribute in OWN_METHODS:  # a plain string has none
                return self.undefined(obj=obj, name=attribute)
        elif kind is LoopContext and attribute in LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        elif kind is Namespace and not attribute.startswith("_"):
            try:
                value = stored(obj, attribute)
            except AttributeError:
                return self.undefined(obj=obj, name=attribute)
            return value.text() if type(value) is Growing else value
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """What the sandbox gives; a growing text of a namespace as text."""
        value = super().getitem(obj, argument)
        return value.text() if type(value) is Growing else value

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Formatting that keeps origins where the format has nothing but ``{}``, ``{0}`` and
        ``{name}``.
        """
        plain = super().wrap_str_format(value)
        if plain is None or value.__name__ != "format":
            return plain
        text = value.__self__

        def wrapper(*args: Any, **kwargs: Any) -> str:
            if any(isinstance(item, TRACEABLE) for item in (*args, *kwargs.values())):
                pieces = _formatted(text, args, kwargs)
                if pieces is not None:
                    return traced_text.concat(pieces)
            return plain(*args, **kwargs)

        return wrapper


def _formatted(text: str, args: Any, kwargs: Any) -> list[Any] | None:
    """The pieces that a simple format is put together from, or None for another one."""
    if hasattr(text, "__html__"):
        return None
    pieces: list[Any] = []
    count = 0
    for literal, name, spec, conversion in string.Formatter().parse(str.__str__(text)):
        pieces.append(literal)
        if name is None:
            continue
        if spec or conversion:
            return None
        if name == "" or name.isdigit():
            place = int(name) if name else count
            count += 1
            if place >= len(args):
                return None
            pieces.append(args[place])
        elif name in kwargs:
            pieces.append(kwargs[name])
        else:
            return None
    return pieces


def _percent(value: str, *args: Any, **kwargs: Any) -> str:
    """Jinja's ``format`` filter with origins kept where the format has nothing but ``%s``."""
    found = None if kwargs else _filled(str(value), args)
    return jinja2.filters.do_format(value, *args, **kwargs) if found is None else found


def _percent_operator(value: str, right: Any) -> str:
    """``value % right``, with origins kept likewise."""
    found = _filled(value, right if isinstance(right, tuple) else (right,))
    plain: str = value % right if found is None else found
    return plain


def _filled(value: str, args: Sequence[Any]) -> str | None:
    """A text with values in place of each ``%s``; None where it has anything else to format."""
    pieces = value.split("%s")
    if len(pieces) != len(args) + 1 or any("%" in piece for piece in pieces):
        return None
    row = [piece for pair in zip(pieces, (*args, ""), strict=True) for piece in pair]
    return traced_text.concat(row)


def _indent(value: str, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's ``indent`` with origins kept."""
    if not isinstance(value, traced_text.TracedText) or hasattr(value, "__html__"):
        return jinja2.filters.do_indent(value, width, first, blank)
    margin = width if isinstance(width, str) else " " * width
    head, *lines = (value + "\n").splitlines()
    rest = [margin + line if line or blank else line for line in lines]
    return (margin if first else "") + traced_text.join("\n", [head, *rest])


def _unfolded(mark: Callable[[Any], str]) -> Callable[[Any, Any], str]:
    """A filter that Jinja does not evaluate when it compiles a template."""

    @pass_context
    def at_work(context: Any, value: Any) -> str:
        return mark(value)

    return at_work


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
            return dump(
                item,
                marks.hidden,
                ensure_ascii=ensure_ascii,
                indent=indent,
                separators=separators,
                sort_keys=sort_keys,
            )

        options = ensure_ascii, indent, separators, sort_keys
        if marks.tools is not None and not marks.hidden and marks.tools.has(value):
            return marks.tools.text(value, options, dumps)
        return dump_json(value, dumps, Known(marks.values, marks.start, marks.end))

    def dictsort(
        value: Mapping[Any, Any],
        case_sensitive: bool = False,
        by: Literal["key", "value"] = "key",
        reverse: bool = False,
    ) -> list[tuple[Any, Any]]:
        """Jinja's, in the order of what was written."""
        if not marks.hidden:
            return jinja2.filters.do_dictsort(value, case_sensitive, by, reverse)
        written = {
            number: shown(item[by == "value"], marks.hidden)
            for number, item in enumerate(value.items())
        }
        items = [*value.items()]
        order = jinja2.filters.do_dictsort(written, case_sensitive, "value", reverse)
        return [items[number] for number, _ in order]

    as_text = partial(traced_text.as_text, around=marks.around)

    def printed(value: Any) -> str:
        """As Jinja prints it: lists and mappings as Python writes them, with origins kept."""
        kind = type(value)
        return value if kind is traced_text.TracedText or kind is str else as_text(value)

    @pass_environment
    def join(env: jinja2.Environment, value: Any, d: str = "", attribute: Any = None) -> str:
        """Jinja's filter with origins kept."""
        if attribute is not None:
            value = map(make_attrgetter(env, attribute), value)
        return traced_text.join(str(d), map(as_text, value))

    env = ChatEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, loopcontrols],
        finalize=printed,
    )
    env.filters |= {
        "tojson": tojson,
        "join": join,
        "format": _percent,
        "indent": _indent,
        instrument.PERCENT: _percent_operator,
        "safe": mark_safe,
        "dictsort": dictsort,
        **dict.fromkeys(("e", "escape"), _unfolded(lambda value: escape_html(value, marks.hidden))),
        "string": as_text,
        instrument.VISIT_START: marks.visit_start,
        instrument.VISIT_END: marks.visit_end,
        instrument.MESSAGE_START: marks.message_start,
        instrument.MESSAGE_END: marks.message_end,
        instrument.LITERAL: _unfolded(marks.literal),
        instrument.CONCAT: lambda pieces: traced_text.join("", map(as_text, pieces)),
        GROW: grow,
        GROW_FRONT: grow_front,
        ENDS: ends,
    }
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = today.strftime
    return env
