"""Template doctor: what a tokenizer and chat template do to conversations, found by trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from cbdata.render.settings import RenderSettings

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
    """Every property of a tokenizer with a template, in the order of the table. Raises
    TokenizerError.
    """
    renderer = Renderer.load(replace(settings, control_tokens="escape"))
    template = renderer.template
    landmarks = renderer.landmarks
    return [
        Finding(
            "tools known",
            YES if template.tools_known else NO,
            (
                "the template prints a tool list"
                if template.tools_known
                else "put into the system message"
            ),
        ),
        Finding(
            "calls known",
            YES if template.calls_known else NO,
            (
                "the template prints calls"
                if template.calls_known
                else "put into the assistant's text"
            ),
        ),
        _renders(renderer, "text kept beside calls", [USER, CALL_WITH_TEXT]),
        _renders(renderer, "several calls", [USER, TWO_CALLS]),
        _renders(renderer, "tool results", [USER, CALL, RESULT, ANSWER]),
        _renders(
            renderer,
            "text unchanged",
            [{"role": "user", "content": AWKWARD["content"]}, ANSWER],
            whole=True,
        ),
        _null_content(renderer),
        _prefix_stable(renderer),
        _turn_end_trained(renderer),
        _prompt_is_prefix(renderer),
        Finding(
            "generation prompt",
            repr(landmarks.generation_prompt),
            "what the template adds for the model to answer",
        ),
        Finding(
            "template kwargs",
            canonical_json(dict(settings.chat_template_kwargs)).decode(),
            "what the template is given beside messages and tools",
        ),
        Finding(
            "turn ends",
            " ".join(sorted(landmarks.turn_ends)) or "none",
            "control tokens that end a turn",
        ),
        Finding("one BOS", YES if landmarks.bos else "none printed", landmarks.bos),
        _ids_of_whole_text(renderer, settings),
        *_call_format(renderer, settings),
    ]


def format_table(columns: Mapping[str, Sequence[Finding]]) -> str:
    """A Markdown table: a row per property, a column per tokenizer and template."""
    titles = list(columns)
    lines = ["| property | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for row in zip(*columns.values(), strict=True):
        cells = [
            finding.value if finding.value != NO else f"no ({finding.detail})" for finding in row
        ]
        lines.append(
            "| "
            + " | ".join(
                [row[0].name, *[cell.replace("|", "\\|").replace("\n", " ") for cell in cells]]
            )
            + " |"
        )
    return "\n".join(lines) + "\n"


def _renders(
    renderer: Renderer, name: str, messages: Sequence[Mapping[str, Any]], whole: bool = False
) -> Finding:
    """Whether a conversation is rendered with every span proven and nothing dropped; ``whole``:
    white space at the edges too.
    """
    try:
        rendered = renderer.render(messages)
    except Reject as error:
        return Finding(name, NO, error.reason)
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
