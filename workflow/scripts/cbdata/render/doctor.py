"""Template doctor: what a tokenizer and chat template do to conversations, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenizers import Tokenizer

from cbdata.call_formats.settle import UnsettledFormat, settle
from cbdata.call_formats.turn_ends import turn_ends
from cbdata.ids import canonical_json
from cbdata.rejects import Reject
from cbdata.render.locate import locate_tokenizer
from cbdata.render.probes import ANSWER, CALL, RESULT, SYSTEM, USER
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, TokenizerError
from cbdata.render.stock_templates import one_of, stock_of
from cbdata.render.turns import Turn

YES, NO = "yes", "no"

CALL_WITH_TEXT = {**CALL, "content": "probe text"}
TWO_CALLS = {
    **CALL,
    "tool_calls": [
        *CALL["tool_calls"],
        {"call_id": "call00001", "function": {"name": "other_tool", "arguments": {}}},
    ],
}
AWKWARD = {"role": "user", "content": ' <|im_end|>\n\n\n "é😀e\u0301" <|eot_id|> '}
LONG: list[Mapping[str, Any]] = [SYSTEM, USER, ANSWER, USER, CALL, RESULT, ANSWER]


@dataclass(frozen=True)
class Finding:
    """One property: ``value`` is yes, no or a short text; ``detail`` says what was seen."""

    name: str
    value: str
    detail: str


def examine(settings: RenderSettings) -> list[Finding]:
    """Every property of a tokenizer with a template, in the order of the table.

    A property that cannot be tried says why. Where tokenizer or template cannot be used at all, the
    table has that as its only row.
    """
    try:
        renderer = Renderer.load(replace(settings, control_tokens="escape"))
    except TokenizerError as error:
        return [Finding("usable", NO, str(error))]
    tried = [
        found for name, look in _looks(renderer, settings).items() for found in _tried(name, look)
    ]
    return [Finding("usable", YES, ""), *tried]


def _looks(renderer: Renderer, settings: RenderSettings) -> dict[str, Callable[[], list[Finding]]]:
    """What is looked at, by the name that stands in the table where the look fails."""
    template, landmarks = renderer.template, renderer.landmarks

    def is_known(known: bool, printed: str, put: str) -> tuple[str, str]:
        return (YES, f"the template prints {printed}") if known else (NO, f"put into {put}")

    def plain(name: str, value: str, detail: str) -> Callable[[], list[Finding]]:
        return lambda: [Finding(name, value, detail)]

    def renders(
        name: str, messages: Sequence[Mapping[str, Any]], whole: bool = False
    ) -> Callable[[], list[Finding]]:
        return lambda: [_renders(renderer, name, messages, whole)]

    awkward = [{"role": "user", "content": AWKWARD["content"]}, ANSWER]
    thinks = [USER, {**ANSWER, "thinking": "probe reasoning"}]
    looks = {
        "chat template": lambda: [_chosen(renderer)],
        "tools known": plain(
            "tools known",
            *is_known(template.tools_known, "a tool list", "the system message"),
        ),
        "calls known": plain(
            "calls known", *is_known(template.calls_known, "calls", "the assistant's text")
        ),
        "text kept beside calls": renders("text kept beside calls", [USER, CALL_WITH_TEXT]),
        "several calls": renders("several calls", [USER, TWO_CALLS]),
        "tool results": renders("tool results", [USER, CALL, RESULT, ANSWER]),
        "text unchanged": renders("text unchanged", awkward, whole=True),
        "null content": lambda: [_null_content(renderer)],
        "reasoning kept": renders("reasoning kept", thinks),
        "reasoning of earlier turns kept": renders(
            "reasoning of earlier turns kept", [*thinks, *thinks]
        ),
        "prefix-stable": lambda: [_prefix_stable(renderer)],
        "end of turn trained": lambda: [_turn_end_trained(renderer)],
        "prompt is a prefix": lambda: [_prompt_is_prefix(renderer)],
        "generation prompt": plain(
            "generation prompt",
            repr(landmarks.generation_prompt),
            "what the template adds for the model to answer",
        ),
        "template kwargs": plain(
            "template kwargs",
            canonical_json(dict(settings.chat_template_kwargs)).decode(),
            "what the template is given beside messages and tools",
        ),
        "turn ends": plain(
            "turn ends",
            " ".join(sorted(landmarks.turn_ends)) or "none",
            "control tokens that end a turn",
        ),
        "one BOS": plain("one BOS", YES if landmarks.bos else "none printed", landmarks.bos),
        "ids of the whole text": lambda: [_ids_of_whole_text(renderer, settings)],
        "call format": lambda: _call_format(renderer, settings),
    }
    return looks | {name: _class_look(renderer, name) for name in CLASSES}


def _tried(name: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a look finds; that it failed, where it does."""
    try:
        return look()
    except Reject as error:
        return [Finding(name, NO, f"{error.reason}: {error.detail}")]
    except Exception as error:  # the doctor is asked about templates of every kind
        return [Finding(name, "not tried", f"{type(error).__name__}: {error}")]


def _chosen(renderer: Renderer) -> Finding:
    name = renderer.chat_template_name
    stock = stock_of(one_of(renderer.tokenizer.chat_template) or "")
    if stock is None:
        return Finding("chat template", name, "")
    said = f"the stock one of {stock.families}, which {stock.loses}"
    if name == "tokenizer":
        return Finding("chat template", name, said)
    return Finding("chat template", name, f"instead of {said}")


def _class_look(renderer: Renderer, name: str) -> Callable[[], list[Finding]]:
    return lambda: [_class_of_answer(renderer, name)]


def _class_of_answer(renderer: Renderer, name: str) -> Finding:
    """What is of this class in the turn of the probe that shows most of an answer."""
    refused = ""
    for message in (
        {**CALL_WITH_TEXT, "thinking": "probe reasoning"},
        CALL_WITH_TEXT,
        {**CALL, "thinking": "probe reasoning"},
        CALL,
        ANSWER,
    ):
        try:
            rendered = renderer.render([USER, message])
        except Reject as error:
            refused = refused or error.reason
            continue
        found = CLASSES[name](rendered.draft.turns[-1], rendered.draft.text)
        return Finding(name, " … ".join(map(repr, found)) or "none", "in the turn of a call")
    return Finding(name, NO, refused)


def _between(turn: Turn, text: str) -> list[str]:
    """What the template prints between reasoning, content and calls."""
    taken = [(part.start, part.end) for part in turn.pieces if part.start < part.end]
    taken += [*turn.thinking, *((call.start, call.end) for call in turn.calls)]
    out, reached = [], turn.own_start
    for start, end in sorted(taken):
        out.append(text[reached:start])
        reached = max(reached, end)
    return [each for each in out if each]


def _end(turn: Turn, text: str) -> list[str]:
    reached = max(
        [
            turn.own_start,
            *(part.end for part in turn.pieces),
            *(call.end for call in turn.calls),
            *(end for _, end in turn.thinking),
        ]
    )
    return [each for each in (text[reached : turn.content_end],) if each]


CLASSES: dict[str, Callable[[Turn, str], list[str]]] = {
    "an answer's header": lambda turn, text: [text[turn.start : turn.own_start]],
    "an answer's reasoning": lambda turn, text: [text[a:b] for a, b in turn.thinking],
    "an answer's content": lambda turn, text: [
        text[part.start : part.end] for part in turn.pieces if part.start < part.end
    ],
    "an answer's call": lambda turn, text: [text[each.start : each.end] for each in turn.calls],
    "between these": _between,
    "an answer's end": _end,
    "behind the end": lambda turn, text: [
        each for each in (text[turn.content_end : turn.end],) if each
    ],
}
"""The classes into which the characters of an assistant's turn fall, and their texts."""


def format_table(columns: Mapping[str, Sequence[Finding]]) -> str:
    """A Markdown table: a row per property, a column per tokenizer and template. A property that
    was not found for one of them has an empty cell there.
    """
    titles = list(columns)
    found = {title: {each.name: each for each in column} for title, column in columns.items()}
    names = dict.fromkeys(each.name for column in columns.values() for each in column)
    lines = ["| property | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for name in names:
        cells = [_cell(found[title].get(name)) for title in titles]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(finding: Finding | None) -> str:
    if finding is None:
        return ""
    explained = finding.detail and finding.value in (NO, "not tried")
    text = f"{finding.value} ({finding.detail})" if explained else finding.value
    return text.replace("|", "\\|").replace("\n", " ")


def _renders(
    renderer: Renderer, name: str, messages: Sequence[Mapping[str, Any]], whole: bool = False
) -> Finding:
    """Whether a conversation is rendered with every span proven and nothing dropped; ``whole``:
    white space at the edges too.
    """
    try:
        rendered = renderer.render(messages)
    except Reject as error:
        _, _, hint = error.detail.partition("Hint: ")
        return Finding(name, NO, f"{error.reason}; {hint}" if hint else error.reason)
    if whole:
        shown = "".join(
            rendered.draft.text[part.start : part.end] for part in rendered.draft.turns[0].pieces
        )
        if shown != messages[0]["content"]:
            return Finding(name, NO, "white space at the edges is trimmed")
    return Finding(name, YES, "")


def _null_content(renderer: Renderer) -> Finding:
    """What the template itself does with ``content: null`` beside a call; traces always have a
    string.
    """
    if not renderer.template.calls_known:
        return Finding("null content", "not tried", "the template knows no calls")
    try:
        text = renderer.template.render_null_content([USER, CALL])
    except Reject as error:
        return Finding("null content", NO, error.reason)
    return (
        Finding("null content", NO, "prints None")
        if "None" in text
        else Finding("null content", YES, "")
    )


def _texts(renderer: Renderer) -> list[str]:
    """The rendering of every beginning of a long conversation that ends with an assistant turn, or
    with the whole.
    """
    ends = [index + 1 for index, message in enumerate(LONG) if message["role"] == "assistant"]
    return [renderer.template.render(LONG[:end], None)[0] for end in ends]


def _prefix_stable(renderer: Renderer) -> Finding:
    """Whether a conversation's beginning is rendered as the beginning of its rendering (not needed
    here, but by many trainers).
    """
    name = "prefix-stable"
    try:
        texts = _texts(renderer)
    except Reject as error:
        return Finding(name, "not tried", error.reason)
    stable = all(texts[-1].startswith(text) for text in texts)
    return Finding(
        name, YES if stable else NO, "" if stable else "a turn reads otherwise when it is last"
    )


def _turn_end_trained(renderer: Renderer) -> Finding:
    name = "end of turn trained"
    rendered = renderer.render([USER, ANSWER, USER, ANSWER])
    ends = set(renderer.turn_end_ids)
    last = [
        rendered.tokens.ids()[rendered.tokens.end(turn.content_end) - 1]
        for turn in rendered.draft.turns
        if turn.role == "assistant"
    ]
    return (
        Finding(name, YES, "")
        if ends.issuperset(last)
        else Finding(name, NO, "assistant turns do not end with a control token")
    )


def _prompt_is_prefix(renderer: Renderer) -> Finding:
    """Whether a generation prompt is the beginning of the rendering that has the answer: token for
    token.
    """
    messages = [SYSTEM, USER, ANSWER]
    try:
        prompt = renderer.prompt(messages[:-1]).ids
        ids = renderer.render(messages, split_prompt=True).tokens.ids()
    except Reject as error:
        return Finding("prompt is a prefix", "not tried", error.reason)
    same = ids[: len(prompt)] == prompt
    return Finding(
        "prompt is a prefix",
        YES if same else NO,
        "" if same else "the answer's turn does not begin with the generation prompt",
    )


def _call_format(renderer: Renderer, settings: RenderSettings) -> list[Finding]:
    """In which call format the template's calls are read back, and whether its generation prompt
    leaves reasoning open.
    """
    folder, _ = locate_tokenizer(settings.tokenizer, settings.cache_dir, settings.revision)
    try:
        found = settle(renderer, turn_ends(renderer, folder))
    except UnsettledFormat as error:
        return [
            Finding("call format", NO, str(error)),
            Finding("reasoning open in the prompt", "not tried", "no call format"),
        ]
    refused = ", ".join(found.refused)
    return [
        Finding("call format", found.call_format, f"refused: {refused}" if refused else ""),
        Finding("reasoning open in the prompt", YES if found.thinking_open else "never", ""),
    ]


def _ids_of_whole_text(renderer: Renderer, settings: RenderSettings) -> Finding:
    """Whether the joined ids are those of the unchanged tokenizer on the whole text."""
    folder, _ = locate_tokenizer(settings.tokenizer, settings.cache_dir, settings.revision)
    whole = Tokenizer.from_file(str(folder / "tokenizer.json"))
    messages = [
        USER,
        {"role": "assistant", "content": "  a\n\n\nb é😀e\u0301 \t 12345 'll don't  "},
        USER,
        ANSWER,
    ]
    rendered = renderer.render(messages)
    same = whole.encode(rendered.draft.text, add_special_tokens=False).ids == rendered.tokens.ids()
    return Finding(
        "ids of the whole text",
        YES if same else NO,
        "" if same else "differ from one pass over the whole text",
    )
