"""What a policy should train in a row that is on policy, worked out from the token ids alone.

Nothing of the project is used: the bytes of each id come from tokenizer.json, and reasoning, calls
and names are looked for in these bytes. It knows one turn behind a system and a user message, calls
as ``<tool_call>`` with JSON or as JSON behind ``<|python_tag|>``, and ``<think>``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TURNS = {"<|im_start|>": "<|im_end|>", "<|start_header_id|>": "<|eot_id|>"}
NAME = re.compile(rb'"name"\s*:\s*"([^"\\]+)"')
WINDOW = 15
Range = tuple[int, int]


def byte_of_character() -> dict[str, int]:
    """Byte-level BPE's alphabet: printable Latin-1 is itself, the rest is U+0100 and on."""
    own = [byte for byte in range(256) if 33 <= byte < 127 or 161 <= byte < 173 or byte > 173]
    rest = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {
        chr(256 + place): byte for place, byte in enumerate(rest)
    }


@dataclass(frozen=True)
class Found:
    """Token ranges of a row. ``calls``: the call, its name, and through the token that settles the
    tool.
    """

    completion: Range
    thinking: Range
    calls: list[tuple[Range, Range, int]]
    system: Range
    injection: Range | None
    length: int


class IdsOracle:
    """Reads the ids of one tokenizer."""

    def __init__(self, folder: Path) -> None:
        data = json.loads((folder / "tokenizer.json").read_bytes())
        alphabet = byte_of_character()
        self.spelled = {
            token: bytes(alphabet[character] for character in name)
            for name, token in data["model"]["vocab"].items()
            if all(character in alphabet for character in name)
        }
        self.added = {token["content"]: token["id"] for token in data["added_tokens"]}
        self.spelled |= {token: text.encode() for text, token in self.added.items()}

    def find(
        self, ids: Sequence[int], start: int, tools: Sequence[str], injection: str | None
    ) -> Found:
        """Take a row apart; what the model wrote begins at token ``start``."""
        row = _Row(self, ids)
        wrote = row.at[start]
        opened = row.data[:wrote].rstrip().endswith(b"<think>")
        thinking = end = wrote
        text = row.data[wrote:].lstrip()
        if opened or text.startswith(b"<think>"):
            end = row.marker("</think>", wrote)[1]
        calls = [self._call(row, place, tools) for place in row.calls(end)]
        return Found(
            completion=(start, len(ids)),
            thinking=row.tokens(thinking, end) if end > thinking else (start, start),
            calls=calls,
            system=row.system(),
            injection=row.text(injection.encode(), wrote) if injection else None,
            length=len(ids),
        )

    def _call(self, row: _Row, place: Range, tools: Sequence[str]) -> tuple[Range, Range, int]:
        name = NAME.search(row.data, *place)
        assert name is not None
        low, high = name.span(1)
        called = name[1].decode()
        rivals = [tool for tool in tools if tool != called]
        settled = next(
            size
            for size in range(1, len(called) + 1)
            if size == len(called) or not any(tool.startswith(called[:size]) for tool in rivals)
        )
        return row.tokens(*place), row.tokens(low, high), row.tokens(low, low + settled)[1]


class _Row:
    """A row as bytes; ``at[i]`` is the first byte of token i."""

    def __init__(self, oracle: IdsOracle, ids: Sequence[int]) -> None:
        self.oracle, self.ids = oracle, list(ids)
        pieces = [oracle.spelled[token] for token in ids]
        self.data = b"".join(pieces)
        self.at = [0]
        for piece in pieces:
            self.at.append(self.at[-1] + len(piece))

    def tokens(self, low: int, high: int) -> Range:
        """The tokens that hold one of the bytes ``[low, high)``."""
        held = [
            place
            for place in range(len(self.ids))
            if self.at[place + 1] > low and self.at[place] < high
        ]
        return held[0], held[-1] + 1

    def places(self, text: str, start: int) -> list[Range]:
        """Where a marker stands from a byte on: as its own id, or as letters if it has none."""
        token = self.oracle.added.get(text)
        if token is not None:
            return [
                (self.at[place], self.at[place + 1])
                for place, found in enumerate(self.ids)
                if found == token and self.at[place] >= start
            ]
        found = re.finditer(re.escape(text.encode()), self.data)
        return [match.span() for match in found if match.start() >= start]

    def marker(self, text: str, start: int) -> Range:
        return self.places(text, start)[0]

    def text(self, text: bytes, end: int) -> Range | None:
        """The tokens of a text that stands before a byte, once or not at all."""
        assert self.data.count(text, 0, end) <= 1, text
        start = self.data.find(text, 0, end)
        return self.tokens(start, start + len(text)) if start >= 0 else None

    def calls(self, start: int) -> list[Range]:
        if "<|python_tag|>" in self.oracle.added:
            found = []
            for low, behind in self.places("<|python_tag|>", start):
                text = self.data[behind:].decode(errors="replace")
                _, size = json.JSONDecoder().raw_decode(text)
                found.append((low, behind + len(text[:size].encode())))
            return found
        ends = self.places("</tool_call>", start)
        return [
            (low, high)
            for (low, _), (_, high) in zip(self.places("<tool_call>", start), ends, strict=True)
        ]

    def system(self) -> Range:
        """The last system message before the first user's, header and end included."""
        opening = next(text for text in TURNS if text in self.oracle.added)
        blocks = []
        for low, behind in self.places(opening, 0):
            end = self.places(TURNS[opening], low)
            if self.data[behind:].startswith(b"system") and end:
                blocks.append(self.tokens(low, end[0][1]))
        return blocks[-1]


def weights(found: Found, thinking_weight: float = 1.0) -> dict[str, list[float]]:
    """The weight of every token of a row under each policy that is there from the start and
    needs no parameters. A new one need not be here.
    """
    (start, end), calls = found.completion, found.calls
    exposed = found.injection[1] if found.injection else None

    def paint(*ranges: tuple[int, int, float]) -> list[float]:
        row = [0.0] * found.length
        for low, high, weight in ranges:
            row[low:high] = [weight] * (high - low)
        for place in range(*found.thinking):
            row[place] *= thinking_weight
        return row

    answer = found.thinking[1]
    said = (start, end, 1.0)
    called = [(*call, 1.0) for call, _, _ in calls]
    action = [(start, calls[0][0][1], 1.0)] if calls else []
    injected = [(*found.injection, 0.5)] if found.injection else []
    return {
        "assistant_only": paint(said),
        "completion_only": paint(said),
        "assistant_and_tool": paint(said),
        "full_sequence": paint((0, end, 1.0)),
        "cb_full_sequence": paint((0, end, 1.0), (*found.system, 0.0), *_bos(found)),
        "tool_calls_only": paint(*called),
        "action_prefix_only": paint(*((call[0], name[1], 1.0) for call, name, _ in calls)),
        "action_commitment": paint(*((call[0], settled, 1.0) for call, _, settled in calls)),
        "post_injection_only": paint(*([said] if exposed is not None else [])),
        "post_injection_tool_calls_only": paint(*(called if exposed is not None else [])),
        "tool_name_weighted": paint(
            *((*call, 0.3) for call, _, _ in calls), *((*name, 1.0) for _, name, _ in calls)
        ),
        "injection_aware": paint(*injected, *([said] if exposed is not None else [])),
        "completion_window": paint((answer, min(answer + WINDOW, end), 1.0)),
        "first_action": paint(*action),
    }


def _bos(found: Found) -> list[tuple[int, int, float]]:
    """A token before everything else is the beginning of the text, where the system message does
    not begin with the first token.
    """
    return [(0, 1, 0.0)] if found.system[0] == 1 else []
