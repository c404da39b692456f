"""The Python code that a chat template is compiled to, without calls that it can do without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

DICT_ATTRIBUTES = frozenset(dir(dict))


class ShortCode(CodeGenerator):
    """Jinja's code, but for two things.

    - An item of a dict that a variable holds is read in place and not by calls of the environment:
      ``message.role`` and ``message['role']`` are most of what chat templates do.
    - What the environment's ``finalize``, which must return text, has been given does not go
      through ``str`` again.
    """

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        """Write an attribute."""
        name = node.attr if node.attr not in DICT_ATTRIBUTES else None
        with self._in_place(node.node, name, frame):
            super().visit_Getattr(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        """Write an item."""
        name = node.arg.value if isinstance(node.arg, nodes.Const) else None
        with self._in_place(node.node, name, frame):
            super().visit_Getitem(node, frame)

    @contextmanager
    def _in_place(self, value: nodes.Node, name: Any, frame: Frame) -> Iterator[None]:
        """Write an item ``name`` of what a variable holds, if that is a dict and has it; else what
        is written inside the block.
        """
        if not (isinstance(value, nodes.Name) and isinstance(name, str)):
            yield
            return
        held = frame.symbols.ref(value.name)
        self.write(f"({held}[{name!r}] if type({held}) is dict and {name!r} in {held} else ")
        yield
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if _makes_text(frame, finalize):
            self.write(finalize.src)
        else:
            super()._output_child_pre(node, frame, finalize)

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if _makes_text(frame, finalize):
            self.write(")")
        else:
            super()._output_child_post(node, frame, finalize)


def _makes_text(frame: Frame, finalize: Any) -> bool:
    """Whether ``finalize`` is there and its text needs no escapes."""
    escapes = frame.eval_ctx.volatile or frame.eval_ctx.autoescape
    return finalize.src is not None and not escapes
