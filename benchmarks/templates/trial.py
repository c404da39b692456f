"""One chat template tried: the project's render stage on one side, transformers on the other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from check import Difference, check_row
from conversations import Conversation, as_is, with_words, without_calls
from prepare import BaseTokenizer
from reference import DATE, REASONINGS, Form, Reference, Refused
from reference import FORMS as MESSAGE_FORMS

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 200_000  # tokens; no transcript is cut
WRITTEN_BLOCK = re.compile(r"""["']type["']: ?["'](?:thinking|thoughts)["']""")
FORMS = ("as it is", "with words", "with words and reasoning", "without calls")


@dataclass
class Outcome:
    """What became of one conversation.

    Attributes:
        form: One of ``FORMS``.
        trace: Id of the transcript.
        printed: Whether transformers prints all of it, the reasoning of earlier turns aside; the
            error where it refuses.
        reject: Reason and detail, or None for a row.
        differences: Of the row.
    """

    form: str
    trace: str
    printed: bool | str
    reject: tuple[str, str] | None = None
    differences: list[Difference] = field(default_factory=list)


@dataclass
class Trial:
    """What became of all conversations with one template."""

    name: str
    tokenizer: str
    appended: int
    tools: bool
    unusable: str = ""
    outcomes: list[Outcome] = field(default_factory=list)

    def details(self) -> Iterator[dict[str, Any]]:
        """Every reject of what transformers prints and every difference, as records."""
        if self.unusable:
            yield {"template": self.name, "unusable": self.unusable}
        for outcome in self.outcomes:
            record = {"template": self.name, "form": outcome.form, "trace": outcome.trace}
            if outcome.reject:
                yield record | {"printed": outcome.printed, "reject": outcome.reject}
            for kind, detail in outcome.differences:
                yield record | {"difference": kind, "detail": detail}


def try_template(
    name: str,
    source: str,
    base: BaseTokenizer,
    traces: Sequence[dict[str, Any]],
    tools: Mapping[str, tuple[dict[str, Any], ...]],
    work: Path,
    changes: Mapping[str, Any],
) -> Trial:
    """Render every transcript in four forms and compare.

    Args:
        name: The template's name.
        source: Its text.
        base: The tokenizer to put it on.
        traces: Transcripts as trace_v1.
        tools: Tools by tool schema version.
        work: A folder for files.
        changes: Settings of the configuration beside the defaults.
    """
    folder = work / "tokenizer"
    appended = base.write(source, folder)
    reference = Reference(folder)
    forms: list[tuple[str, Conversation]] = []
    for trace in traces:
        made = (
            as_is(trace, tools),
            with_words(trace, tools, reasoning=False),
            with_words(trace, tools, reasoning=True),
            without_calls(trace, tools),
        )
        forms += [(form, _renamed(each, form)) for form, each in zip(FORMS, made, strict=True)]
    _settle_form(reference, [each for form, each in forms if form in (FORMS[1], FORMS[3])])
    _settle_reasoning(reference, [each for form, each in forms if form == FORMS[2]])
    shown = _knows_tools(reference, forms[1][1])
    trial = Trial(name, base.name, len(appended), shown)
    try:
        rows, rejects = _render(forms, folder, work, shown, changes)
    except ValueError as error:  # TokenizerError: neither tokenizer nor template can be used
        trial.unusable = str(error)
        return trial
    told: bool | str = False
    for (form, conversation), trace in zip(
        forms, (trace for trace in traces for _ in FORMS), strict=True
    ):
        text, printed = _printed(reference, conversation, shown)
        if form == FORMS[0]:  # whether all of it is printed shows with words only
            words = with_words(trace, tools, reasoning=False)
            told = printed = _printed(reference, words, shown)[1]
        outcome = Outcome(form, trace["id"], printed)
        trace_id = conversation.trace["id"]
        if trace_id in rejects:
            outcome.reject = rejects[trace_id]
        else:
            comparable = text if printed is True or told is True else None
            outcome.differences = check_row(
                rows[trace_id], conversation, reference, comparable, tools=shown
            )
        trial.outcomes.append(outcome)
    return trial


def _printed(
    reference: Reference, conversation: Conversation, tools: bool
) -> tuple[str | None, bool | str]:
    """Transformers' text, and whether it has every word but those of earlier turns' reasoning."""
    try:
        text = reference.text(conversation.messages, conversation.tools if tools else ())
    except Refused as error:
        return None, str(error)
    last = max(
        index for index, each in enumerate(conversation.messages) if each["role"] == "assistant"
    )
    return text, all(
        word.text in text
        for word in conversation.words
        if word.kind != "thinking" or word.message == last
    )


def _settle_form(reference: Reference, conversations: Sequence[Conversation]) -> None:
    """Give the template its messages in the form in which it prints most of the conversations."""

    def whole(form: Form) -> tuple[int, int]:
        reference.form = form
        told = [_printed(reference, each, True)[1] for each in conversations[:8]]
        return sum(each is True for each in told), sum(isinstance(each, bool) for each in told)

    reference.form = max(MESSAGE_FORMS, key=whole)


def _settle_reasoning(reference: Reference, conversations: Sequence[Conversation]) -> None:
    """Give the template reasoning in the form in which it prints most of it; the usual one where
    none is better. One that writes out a block as such does not know it.
    """
    form = reference.form

    def whole(reasoning: str) -> int:
        reference.form = replace(form, reasoning=reasoning)
        made = [_printed(reference, each, True) for each in conversations[:8]]
        return sum(told is True and WRITTEN_BLOCK.search(text or "") is None for text, told in made)

    reference.form = replace(form, reasoning=max(REASONINGS, key=whole))


def _knows_tools(reference: Reference, conversation: Conversation) -> bool:
    """Whether the template prints tools."""
    try:
        plain = reference.text(conversation.messages[:2], ())
        return reference.text(conversation.messages[:2], conversation.tools) != plain
    except Refused:
        return True


def _renamed(conversation: Conversation, form: str) -> Conversation:
    """The conversation under an id of its own, so that all forms of a trace go into one file."""
    digest = hashlib.sha256(f"{conversation.trace['id']} {form}".encode()).hexdigest()[:32]
    trace = {**conversation.trace, "id": f"trace_agentdojo_{digest}"}
    return Conversation(trace, conversation.words, conversation.tools)


def _render(
    forms: Sequence[tuple[str, Conversation]],
    folder: Path,
    work: Path,
    tools: bool,
    changes: Mapping[str, Any],
) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[str, str]]]:
    """The project's render stage: rows and rejects by trace id."""
    from cbdata.config import default_settings
    from cbdata.render.settings import RenderSettings, RenderStageSettings
    from cbdata.render.stage import render_traces
    from cbdata.stage import StageFiles

    options = {
        "max_length": LONGEST,
        "overlength": "reject",
        "include_text": True,
        "template_date": DATE,
        "chat_template": None,
        "tool_schema_dirs": [ROOT / "configs" / "tool_schemas"],
        **changes,
    }
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    # Whether tools are shown is said for a whole file
    for included in (False, True):
        chosen = [each for form, each in forms if (tools and form != FORMS[3]) is included]
        if not chosen:
            continue
        source, out = work / "in.jsonl", work / "out.jsonl"
        lines = [json.dumps(each.trace, ensure_ascii=False) + "\n" for each in chosen]
        source.write_text("".join(lines), encoding="utf-8")
        options["tools_included"] = included
        render_traces(
            source,
            StageFiles.of(out, work / "rejects.jsonl", work / "stats.json"),
            default_settings(RenderSettings, tokenizer=str(folder), **options),
            default_settings(RenderStageSettings, **options),
            name="bench",
        )
        rows += [json.loads(line) for line in out.open(encoding="utf-8")]
        rejects += [json.loads(line) for line in (work / "rejects.jsonl").open(encoding="utf-8")]
    return (
        {row["trace_id"]: row for row in rows},
        {each["record_id"]: (each["reason"], each["detail"]) for each in rejects},
    )
