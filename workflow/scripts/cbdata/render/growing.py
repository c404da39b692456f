"""Text that a template collects in a namespace, piece by piece, in time linear in its length.

``ns.text = ns.text + piece`` copies all of the text for every piece. Here the pieces are kept, and
joined where the attribute is read.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.utils import Namespace

from cbdata.render import traced_text

GROW, GROW_FRONT, ENDS = "cb_grow", "cb_grow_front", "cb_ends"


class GrownText(traced_text.TracedText):
    """The text that pieces have come to. Its stretches are put together when they are asked for:
    a template may read the text for each piece, and mostly asks only whether there is any.
    """

    __slots__ = ("_count", "_joined", "_known")
    _count: int
    _joined: _Joined
    _known: tuple[traced_text.Part, ...] | None

    def __new__(cls, text: str, joined: _Joined, count: int) -> GrownText:
        """The text of the first ``count`` of the pieces that ``joined`` puts together."""
        made = super().__new__(cls, text)
        made._joined, made._count, made._known = joined, count, None
        return made

    @property
    def parts(self) -> tuple[traced_text.Part, ...]:  # type: ignore[override]
        """The stretches of the pieces."""
        if self._known is None:
            self._known = self._joined.up_to(self._count)
        return self._known


class _Joined:
    """The stretches of pieces that become more, put together once."""

    __slots__ = ("count", "parts", "pieces", "position")

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.parts: list[traced_text.Part] = []
        self.count = self.position = 0

    def up_to(self, count: int) -> tuple[traced_text.Part, ...]:
        """The stretches of the first ``count`` pieces."""
        if count < self.count:
            joined = traced_text.join("", self.pieces[:count])
            return joined.parts if isinstance(joined, traced_text.TracedText) else ()
        for piece in self.pieces[self.count : count]:
            traced_text.add_parts(self.parts, piece, self.position)
            self.position += len(piece)
        self.count = count
        return tuple(self.parts)


class Growing:
    """A text in pieces."""

    __slots__ = ("_joined", "_read", "_text", "before", "pieces")

    def __init__(self, pieces: list[str]) -> None:
        self.before: list[str] = []  # pieces put before the others, the first of them last
        self._take(pieces)

    def _take(self, pieces: list[str]) -> None:
        self.pieces, self._joined = pieces, _Joined(pieces)
        self._text, self._read = pieces[0], 1

    def text(self) -> str:
        """The whole text."""
        if self.before:
            pieces = [*self.before[::-1], *self.pieces]
            self.before = []
            self._take(pieces)
        if self._read < len(self.pieces):
            plain = map(str.__str__, [self._text, *self.pieces[self._read :]])
            self._read = len(self.pieces)
            self._text = GrownText("".join(plain), self._joined, self._read)
        return self._text

    def endswith(self, ending: Any) -> bool:
        """Whether the text ends so; reads no more of it than it must."""
        if isinstance(ending, str):
            for piece in reversed(self.pieces):
                if len(piece) >= len(ending) or (piece and not ending.endswith(piece)):
                    return piece.endswith(ending)
                if piece:
                    break
        return self.text().endswith(ending)


def grown_attribute(assign: nodes.Assign) -> tuple[str, str] | None:
    """The namespace and attribute that an assignment adds something to the end of."""
    target, value = assign.target, assign.node
    if not isinstance(target, nodes.NSRef):
        return None
    while isinstance(value, (nodes.Add, nodes.Concat)):
        value = value.left if isinstance(value, nodes.Add) else value.nodes[0]
    if (
        isinstance(value, nodes.Getattr)
        and value.attr == target.attr
        and isinstance(value.node, nodes.Name)
        and value.node.name == target.name
    ):
        return target.name, target.attr
    return None


def grown_front(assign: nodes.Assign) -> list[nodes.Expr] | None:
    """What an assignment puts before an attribute of a namespace with ``~``; None for another."""
    target, value = assign.target, assign.node
    if not (isinstance(target, nodes.NSRef) and isinstance(value, nodes.Concat)):
        return None
    last = value.nodes[-1]
    if (
        isinstance(last, nodes.Getattr)
        and last.attr == target.attr
        and isinstance(last.node, nodes.Name)
        and last.node.name == target.name
    ):
        return value.nodes[:-1]
    return None


def stored(namespace: Namespace, attribute: str) -> Any:
    """An attribute of a namespace, with a growing text as such. Raises AttributeError."""
    return Namespace.__getattribute__(namespace, attribute)


def grow(namespace: Any, attribute: str, pieces: list[Any], concats: list[bool]) -> Any:
    """What a namespace's attribute becomes with something put behind it.

    Args:
        namespace: The namespace.
        attribute: Its attribute's name.
        pieces: What comes behind it.
        concats: For each piece whether that is done with ``~``, which makes text of anything, or
            with ``+``.
    """
    value = stored(namespace, attribute)
    for piece, concat in zip(pieces, concats, strict=True):
        if concat or (_is_plain(value) and _is_plain(piece)):
            if not isinstance(value, Growing):
                value = Growing([traced_text.as_text(value)])
            value.pieces.append(traced_text.as_text(piece))
        else:
            value = (value.text() if isinstance(value, Growing) else value) + piece
    return value


def grow_front(namespace: Any, attribute: str, pieces: list[Any]) -> Any:
    """What a namespace's attribute becomes with pieces put before it with ``~``.

    Args:
        namespace: The namespace.
        attribute: Its attribute's name.
        pieces: What comes before it.
    """
    value = stored(namespace, attribute)
    if not isinstance(value, Growing):
        value = Growing([traced_text.as_text(value)])
    value.before += [traced_text.as_text(piece) for piece in reversed(pieces)]
    return value


def _is_plain(value: Any) -> bool:
    """Whether something is text that is added to others as it stands."""
    return isinstance(value, Growing) or (isinstance(value, str) and not hasattr(value, "__html__"))


def ends(namespace: Any, attribute: str, ending: Any) -> bool:
    """Whether the text in a namespace's attribute ends so."""
    return bool(stored(namespace, attribute).endswith(ending))
