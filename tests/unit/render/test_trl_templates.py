"""Every chat template that TRL ships: the text is transformers' own, and every message is placed
rightly or the trace rejected.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cbdata.config import default_settings
from cbdata.rejects import Reject
from cbdata.render.chat import TemplateInput
from cbdata.render.instrument import Marks
from cbdata.render.probes import probe_landmarks
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, TokenizerError
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import ControlToken, PlainTokenizer, control_pattern

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
MARKUP = re.compile(
    r"<[|｜][^<>\n'\"]{1,40}[|｜]>|<(?:start|end)_of_turn>|\[/?[A-Z_]{3,20}\]|</?s>|<\|?turn\|?>"
)


def call(number: int, name: str) -> dict[str, Any]:
    return {
        "call_id": f"call{number:05}",
        "function": {"name": name, "arguments": {"alpha": "x y", "beta": 2}},
    }


def result(number: int, name: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content, "name": name, "tool_call_id": f"call{number:05}"}


SYSTEM = {"role": "system", "content": "Be kind."}
CONVERSATIONS = [
    [
        SYSTEM,
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "second question"},
        {"role": "assistant", "content": "second answer"},
    ],
    [
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "beside", "tool_calls": [call(0, "get_it")]},
        result(0, "get_it", "result <lt>"),
        {"role": "assistant", "content": "second answer"},
    ],
    [
        SYSTEM,
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "", "tool_calls": [call(0, "get_it"), call(1, "put_it")]},
        result(0, "get_it", "one result"),
        result(1, "put_it", "other result"),
        {"role": "assistant", "content": "second answer"},
    ],
]


def templates() -> list[Path]:
    spec = importlib.util.find_spec("trl")
    folder = (
        Path(next(iter(spec.submodule_search_locations))) / "chat_templates"
        if spec and spec.submodule_search_locations
        else Path()
    )
    return sorted(folder.glob("*.jinja")) if spec else []


def renderer_for(source: str, name: str, base: PlainTokenizer) -> Renderer:
    """The template with the control tokens that it writes, on any tokenizer: only the text matters
    here.
    """
    markup = sorted(set(MARKUP.findall(source)) | set(SPECIAL.values()))
    added = [
        {
            "id": 10**6 + number,
            "content": text,
            "special": True,
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
            "normalized": False,
        }
        for number, text in enumerate(markup)
    ]
    control = {
        token["content"]: ControlToken(token["id"], token["content"], True) for token in added
    }
    tokenizer = replace(base, control=control, pattern=control_pattern(added), special=SPECIAL)
    template = ChatTemplate(source, name, SPECIAL, "26 Jul 2024")
    return Renderer(
        default_settings(RenderSettings, tokenizer="made"),
        tokenizer,
        "made",
        template,
        probe_landmarks(template, tokenizer),
    )


def check_placed(messages: list[dict[str, Any]], renderer: Renderer) -> None:
    draft = renderer.draft(messages)
    for index, message in enumerate(messages):
        # Text behind the results of its calls is another turn of the same message.
        turns = [turn for turn in draft.turns if turn.index == index]
        said = [draft.text[turn.content_start : turn.content_end] for turn in turns]
        assert any(message["content"] in each for each in said)
        others = [
            other["content"]
            for other in messages
            if other is not message
            and other["content"]
            and other["content"] not in message["content"]
        ]
        assert not any(text in each for text in others for each in said)
        calls = [(turn, span) for turn in turns for span in turn.calls]
        assert [span.name for _, span in calls] == [
            call["function"]["name"] for call in message.get("tool_calls", ())
        ]
        for turn, span in calls:
            assert draft.text[span.name_start : span.name_end] == span.name
            assert "x y" in draft.text[span.start : span.end]
            assert turn.content_start <= span.start < span.end <= turn.content_end
        assert all(left.end <= right.start for (_, left), (_, right) in pairwise(calls))


def test_text_is_transformers_and_spans_are_right(
    smollm2_renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = templates()
    if not files:
        pytest.skip("trl is not installed; it is only a collection of chat templates here")
    utils = pytest.importorskip("transformers.utils.chat_template_utils")

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2024, 7, 26)

    monkeypatch.setattr(utils, "datetime", Clock)
    outcomes: Counter[str] = Counter()
    for file in files:
        source = file.read_text(encoding="utf-8")
        try:
            renderer = renderer_for(source, file.stem, smollm2_renderer.tokenizer)
        except TokenizerError:
            outcomes["unusable"] += 1  # templates that want contents as lists of images and texts
            continue
        for messages in CONVERSATIONS:
            template = renderer.template
            try:
                text, _ = template.render(messages, None)
            except Reject:
                outcomes["refused"] += 1
                continue
            chat = TemplateInput(messages, None, template.facts, Marks())
            plain, _ = utils.render_jinja_template(
                [chat.messages], chat_template=source, date_string="26 Jul 2024", **SPECIAL
            )
            assert str.__str__(plain[0]) == text, file.name
            try:
                check_placed(messages, renderer)
                outcomes["placed"] += 1
            except Reject:
                outcomes["rejected"] += 1
    assert outcomes["placed"] > 100
    assert outcomes["unusable"] <= 4
