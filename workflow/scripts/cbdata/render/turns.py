"""What a rendered conversation is laid out into."""

from __future__ import annotations

from dataclasses import dataclass, field

from cbdata.render.traced_text import Part


@dataclass(slots=True)
class CallSpan:
    """A tool call in the text: call syntax included, and its name without quotes. The first call of
    a turn has the opening of the call section too.
    """

    index: int
    name: str
    start: int
    end: int
    name_start: int
    name_end: int


@dataclass(slots=True)
class Turn:
    """A message in the text.

    ``[start, end)`` takes in header and end-of-turn token. What the model generates in an assistant
    turn is ``[own_start, content_end)``: reasoning, and from ``content_start`` on everything else.
    ``thinking`` are the stretches of reasoning, markers included; ``pieces`` are those that hold
    the message's own content. ``thinking_left_out`` says that the message has reasoning that the
    template does not print. ``stop`` is the token that ends the turn, None where it has none.
    """

    index: int
    role: str
    start: int
    end: int
    content_start: int
    content_end: int
    own_start: int
    calls: list[CallSpan] = field(default_factory=list)
    thinking: list[tuple[int, int]] = field(default_factory=list)
    thinking_left_out: bool = False
    pieces: list[Part] = field(default_factory=list)
    stop: tuple[int, int] | None = None


@dataclass(slots=True)
class Landmarks:
    """What is known of the chat template beforehand, probed when it is loaded.

    ``generation_prompt``: what it adds for the model to answer; ``turn_ends``: the control tokens
    that end its turns, ``answer_ends``: those that end an answer; ``bos``: the text of the token
    that starts a sequence, or "" where there is none; ``reasons``: it may print reasoning, or an
    empty block for it; ``call_close``: what it prints behind the arguments of a call that is not
    the last one, ``call_open``: what it prints before a call that is not the first one, "" where
    only its loops say it; ``headers``: what it prints before an answer; ``spelled_end``: the
    letters with which it ends answers, "" where it ends them with a control token or nothing;
    ``stops``: the tokens at which the model stops; ``head``: what every header of an answer begins
    with, "" where it asks for none; ``content_close``: what it prints between an answer's content
    and its end.
    """

    generation_prompt: str = ""
    turn_ends: frozenset[str] = frozenset()
    bos: str = ""
    reasons: bool = False
    answer_ends: frozenset[str] = frozenset()
    call_close: str = ""
    headers: frozenset[str] = frozenset()
    spelled_end: str = ""
    call_open: str = ""
    stops: frozenset[str] = frozenset()
    head: str = ""
    content_close: str = ""
