"""Which call format a chat template's model writes, found by reading the template's own calls back.

The proof is the round trip: a format is the template's only if it reads every probe back exactly,
with nothing left over, and no other format does. It takes no model, so a run that would yield
nothing stops before it costs a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from cbdata.call_formats.base import CallFormat, Reading, View
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.call_formats.turn_ends import turn_ends
from cbdata.ids import canonical_json
from cbdata.rejects import Reject
from cbdata.render.template import ChatTemplate
from cbdata.tools import ToolSchema

if TYPE_CHECKING:  # the renderer asks for its call format
    from cbdata.render.renderer import Renderer

Message = Mapping[str, Any]

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "strict": {"type": "boolean"},
        "places": {"type": "array", "items": {"type": "string"}},
        "options": {"type": "object"},
    },
}
PROBE_TOOLS = ToolSchema(
    version="probe",
    tools=tuple(
        {
            "type": "function",
            "function": {"name": name, "description": "A probe.", "parameters": _PARAMETERS},
        }
        for name in ("probe_search", "probe_send")
    ),
    system_prompt=None,
    digest="",
    path="the probe",
)

_PLAIN = {"query": "tides"}
_AWKWARD = {
    "query": "caf\u00e9 \u6f6e\u6c50 \"quoted\" 'it\u2019s' <b>bold</b> & a\\b\nline, {brace} [x]",
    "count": -7,
    "share": 0.25,
    "strict": True,
    "places": ["a, b", "c;d"],
    "options": {"deep": {"list": [1, None, "two"], "empty": {}}},
}
REASONING_MARKS = sorted(
    {
        mark
        for reader in FORMATS.values()
        for notation in reader.reasoning
        for mark in (notation.opening + notation.label, notation.closing)
    },
    key=lambda mark: (-len(mark), mark),
)
"""What opens and closes reasoning in any format, the longest first."""

_USER = {"role": "user", "content": "When is high tide?"}
THOUGHT = "The tables will say it."


@dataclass(frozen=True)
class Probe:
    """A turn to render and read back: its calls, its reasoning, and whether a template may refuse
    it.
    """

    name: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    thinking: str = ""
    optional: bool = False

    def messages(self, named_ids: bool = False) -> list[dict[str, Any]]:
        """A question and the turn. ``named_ids``: the calls' ids hold the names, as those of Kimi
        do, whose template prints no other name.
        """
        turn = {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "call_id": f"functions.{name}:{number}" if named_ids else f"call0000{number}",
                    "function": {"name": name, "arguments": arguments},
                }
                for number, (name, arguments) in enumerate(self.calls)
            ],
        }
        return [dict(_USER), {**turn, **({"thinking": self.thinking} if self.thinking else {})}]


PROBES = (
    Probe("one call", (("probe_search", _PLAIN),)),
    Probe("awkward arguments", (("probe_send", _AWKWARD),)),
    Probe("no arguments", (("probe_search", {}),), optional=True),
    Probe("two calls", (("probe_search", _PLAIN), ("probe_send", {"query": "ebb"})), optional=True),
    Probe("reasoning", (("probe_search", _PLAIN),), thinking=THOUGHT, optional=True),
)


class NotPrinted(ValueError):
    """A template prints a probe, but not so that it can be read; ``detail`` says what is wrong."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class UnsettledFormat(ValueError):
    """No format, or more than one, reads the template's calls back; says which came close."""


@dataclass(frozen=True)
class Settled:
    """What a template's completions are read with.

    ``call_format``: a name of the registry. ``thinking_open``: the generation prompt leaves a
    reasoning block open. ``end_tokens``: what ends the model's turn. ``refused``: optional probes
    that the template does not render.
    """

    call_format: str
    thinking_open: bool
    end_tokens: frozenset[str]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Printed:
    """A probe as the template prints it: the prompt up to where the turn begins, and the turn."""

    probe: Probe
    prompt: str
    completion: str


def settle(renderer: Renderer, end_tokens: frozenset[str], name: str | None = None) -> Settled:
    """The call format of a template.

    Args:
        renderer: the run's own tokenizer and template.
        end_tokens: what ends a turn of this model, see ``turn_ends``.
        name: a format that the configuration names; it is not tried then.

    Raises:
        UnsettledFormat: no format reads the template's calls back, or several do.
        ValueError: ``name`` is not a format.
    """
    prompt = _prompt(renderer)
    if name is not None:
        if name not in FORMATS:
            known = ", ".join(sorted(FORMATS))
            raise ValueError(f"call_format {name!r}: expected auto or one of {known}")
        return Settled(name, FORMATS[name].opens_reasoning(prompt), end_tokens)
    printed, refused = print_probes(renderer)
    failures = {
        each.name: read_back(each, printed, renderer, end_tokens) for each in FORMATS.values()
    }
    fitting = [name for name, failure in failures.items() if failure is None]
    if len(fitting) != 1:
        raise UnsettledFormat(_message(renderer, printed, failures, fitting))
    opens = FORMATS[fitting[0]].opens_reasoning(prompt)
    return Settled(fitting[0], opens, end_tokens, refused)


def printed_format(renderer: Renderer) -> CallFormat | None:
    """The call format of a renderer's template; None where there is not one alone."""
    try:
        return FORMATS[settle(renderer, turn_ends(renderer)).call_format]
    except UnsettledFormat:
        return None


def print_probes(renderer: Renderer) -> tuple[list[Printed], tuple[str, ...]]:
    """Every probe as the template prints it, and the names of optional ones that it refuses.

    Raises UnsettledFormat where it refuses one that every template with calls can print.
    """
    printed, refused = [], []
    template = _given_calls(renderer.template)
    for probe in PROBES:
        try:
            printed.append(_print(template, probe))
        except (Reject, NotPrinted) as error:
            if not probe.optional:
                raise UnsettledFormat(
                    f"chat template {renderer.chat_template_name} does not print the probe"
                    f" '{probe.name}': {error.detail}. Hint: name the call_format, or use another"
                    " chat_template"
                ) from error
            refused.append(probe.name)
    return printed, tuple(refused)


def _prompt(renderer: Renderer) -> str:
    """The generation prompt of a question. Raises UnsettledFormat."""
    try:
        return renderer.template.render([_USER], list(PROBE_TOOLS.tools), generation_prompt=True)[0]
    except Reject as error:
        raise UnsettledFormat(
            f"chat template {renderer.chat_template_name} refuses a question with tools:"
            f" {error.detail}. Hint: use another chat_template"
        ) from error


def _given_calls(template: ChatTemplate) -> ChatTemplate:
    """The template with calls as calls if it prints the tools.

    Where it prints neither, the renderer writes tools and calls in a form of its own, which is then
    the model's. A template that prints tools alone speaks of calls that its model writes otherwise;
    those of Kimi are printed by their ids, which the renderer takes for none.
    """
    if template.calls_known or not template.tools_known:
        return template
    given = copy(template)
    given.facts = replace(given.facts, calls_known=True)
    return given


def _print(template: ChatTemplate, probe: Probe) -> Printed:
    """Render a probe and cut it where the model would have begun to write. Raises Reject and
    NotPrinted.
    """
    try:
        return _print_turn(template, probe, probe.messages())
    except NotPrinted:
        return _print_turn(template, probe, probe.messages(named_ids=True))


def _print_turn(template: ChatTemplate, probe: Probe, messages: list[dict[str, Any]]) -> Printed:
    tools = list(PROBE_TOOLS.tools)
    prompt = template.render(messages[:1], tools, generation_prompt=True)[0]
    whole = template.render(messages, tools)[0]
    cut = _before_marker(prompt, _common(prompt, whole))
    rest = prompt[cut:]
    # A generation prompt may open or skip reasoning that the turn itself prints otherwise.
    for mark in REASONING_MARKS:
        rest = rest.replace(mark, "")
    if rest.strip():
        raise NotPrinted(
            f"the turn does not begin with the generation prompt, which goes on {prompt[cut:]!r}",
        )
    completion = whole[cut:]
    dropped = [name for name, _ in probe.calls if name not in completion]
    if dropped:
        raise NotPrinted(f"the call of {dropped[0]} is not printed")
    return Printed(probe, prompt[:cut], completion)


def _before_marker(prompt: str, cut: int) -> int:
    """The cut, or the beginning of the reasoning marker that it would split: the turn may go on
    with another marker that begins with the same letters.
    """
    starts = [
        start
        for mark in REASONING_MARKS
        for start in range(max(cut - len(mark) + 1, 0), cut)
        if prompt.startswith(mark, start)
    ]
    return min(starts, default=cut)


def _common(one: str, other: str) -> int:
    """The length of the common beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def read_back(
    reader: CallFormat, printed: Sequence[Printed], renderer: Renderer, end_tokens: frozenset[str]
) -> str | None:
    """Say why a format does not read the probes back exactly, or return None if it does.

    Args:
        reader: The format.
        printed: The probes as the chat template prints them.
        renderer: The renderer that printed them; its tokenizer knows the control tokens.
        end_tokens: Spellings of the tokens that end a turn.
    """
    for each in printed:
        # The probes hold no control token, so what the template printed as one is one.
        completion = Completion.spelled(each.completion, renderer.tokenizer)
        view, _ = completion.view(reader, end_tokens)
        reading = reader.read(view, PROBE_TOOLS, thinking_open=reader.opens_reasoning(each.prompt))
        if difference := _difference(each.probe, view, reading):
            return f"{each.probe.name}: {difference}"
    return None


def _difference(probe: Probe, view: View, reading: Reading) -> str | None:
    if reading.fault:
        return f"{reading.fault.reason} (at {view.text[reading.fault.at :][:30]!r})"
    if not reading.calls:
        return "no call is read"
    if reading.prose:
        start, end = reading.prose[0]
        return f"{view.text[start:end][:40]!r} is left over"
    found = [(call.name, call.arguments) for call in reading.calls]
    if orjson.dumps(found, option=orjson.OPT_SORT_KEYS) != canonical_json(list(probe.calls)):
        return f"read as {orjson.dumps(found).decode()[:120]}"
    thoughts = "\n".join(
        view.text[each.text_start : each.text_end].strip() for each in reading.thinking
    ).strip()
    if thoughts not in ("", probe.thinking):
        return f"reasoning read as {thoughts[:60]!r}"
    if probe.thinking and probe.thinking in view.text and thoughts != probe.thinking:
        return "the reasoning is not found"
    return None


def _message(
    renderer: Renderer,
    printed: Sequence[Printed],
    failures: Mapping[str, str | None],
    fitting: Sequence[str],
) -> str:
    """What to tell a person."""
    where = f"chat template {renderer.chat_template_name}"
    shown = f"It prints a call as {printed[0].completion[:200]!r}"
    hint = f"Hint: set call_format to one of {', '.join(sorted(FORMATS))}"
    if fitting:
        return (
            f"{where}: several call formats read its calls back: {', '.join(fitting)}. {shown}."
            f" {hint}"
        )
    close = {
        name: failure
        for name, failure in failures.items()
        if failure and not failure.endswith("no call is read")
    }
    tried = "; ".join(f"{name}: {failure}" for name, failure in close.items())
    return (
        f"{where}: no call format reads its calls back exactly. {shown}. Came close: "
        f"{tried or 'none'}. {hint}, or use another chat_template"
    )
