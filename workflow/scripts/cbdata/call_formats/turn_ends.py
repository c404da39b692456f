"""What ends a model's turn, as its tokenizer, template and generation config say it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from cbdata.call_formats.registry import CALL_MARKERS
from cbdata.rejects import Reject
from cbdata.render.probes import ANSWER, CALL, RESULT, USER
from cbdata.render.settings import TokenizerError

if TYPE_CHECKING:  # the renderer asks for its call format
    from cbdata.render.renderer import Renderer

GENERATION_CONFIG = "generation_config.json"


def turn_ends(renderer: Renderer, *folders: Path) -> frozenset[str]:
    """The texts of the end-of-turn tokens: the tokenizer's end of sequence, what the template
    prints behind an assistant's turn, and the end tokens of generation_config.json.

    Args:
        renderer: tokenizer and template.
        folders: where generation_config.json is looked for (the tokenizer's, the model's).

    Raises:
        TokenizerError: generation_config.json cannot be read.
    """
    ends = set(renderer.landmarks.turn_ends) | _printed(renderer)
    return frozenset(ends) | engine_ends(renderer, *folders)


def engine_ends(renderer: Renderer, *folders: Path) -> frozenset[str]:
    """Those of the end tokens at which an engine stops by itself: the tokenizer's end of sequence
    and the end tokens of generation_config.json. Arguments and errors as for ``turn_ends``.
    """
    tokenizer = renderer.tokenizer
    by_id = {token.id: token.text for token in tokenizer.control.values()}
    ends = {by_id[each] for folder in folders for each in _configured(folder) if each in by_id}
    if eos := tokenizer.special.get("eos_token"):
        ends.add(eos)
    return frozenset(ends)


def _printed(renderer: Renderer) -> set[str]:
    """The control token behind an answer, and the last one of a turn with a call: if that is the
    call's own, the one with which the next message begins.
    """
    pattern = renderer.tokenizer.pattern
    ends: set[str] = set()
    try:
        text = renderer.template.render([USER, ANSWER, USER], None)[0]
        answer = text.find(ANSWER["content"])
        if answer >= 0 and (match := pattern.search(text, answer + len(ANSWER["content"]))):
            ends.add(match.group().strip())
        turn = renderer.template.render([USER, CALL], None)[0]
        longer = renderer.template.render([USER, CALL, RESULT], None)[0]
    except Reject:
        return ends
    *_, last = ["", *(match.group().strip() for match in pattern.finditer(turn))]
    if last in CALL_MARKERS and longer.startswith(turn):
        match = pattern.search(longer, len(turn))
        last = match.group().strip() if match else ""
    return ends | ({last} if turn.rstrip().endswith(last) or last not in turn else set()) - {""}


def _configured(folder: Path) -> list[int]:
    """``eos_token_id`` of a folder's generation config: one id or several."""
    file = folder / GENERATION_CONFIG
    if not file.is_file():
        return []
    try:
        given = orjson.loads(file.read_bytes()).get("eos_token_id")
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise TokenizerError(
            f"{file}: expected a JSON object ({error}). Hint: copy it again from the model"
        ) from error
    return [each for each in (given if isinstance(given, list) else [given]) if each is not None]
