"""A tokenizer with a chat template, as a folder: control tokens that the template writes and the
tokenizer lacks are appended.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

MARKUP = re.compile(
    r"<[|｜][^<>\n'\"{}]{1,48}[|｜]>|<\|[A-Za-z_]{2,24}>|<[A-Za-z_]{2,24}\|>"
    r"|<(?:start|end)_of_turn>|\[/?[A-Z_]{3,24}\]|</?s>"
    r"|</?(?:think|tool_call|tool_response|tool_calls|minimax:tool_call|TOOLCALL|seed:[a-z_]+)>"
    r"|\]~!?b\[|\]~b\]|\[e~\[|<SPECIAL_\d{1,4}>"
)
PROSE = re.compile(r"\{#.*?#\}", re.DOTALL)


def control_tokens(source: str) -> list[str]:
    """The strings in a template's source that look like control tokens, in order of first use."""
    return list(dict.fromkeys(MARKUP.findall(PROSE.sub("", source))))


class BaseTokenizer:
    """A tokenizer folder that is read once."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.size = (folder / "tokenizer.json").stat().st_size
        self.data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.vocabulary = len(self.data["model"]["vocab"])
        self.added = {token["content"] for token in self.data["added_tokens"]}

    @property
    def own_template(self) -> str | None:
        """The tokenizer's own chat template."""
        template = self.config.get("chat_template")
        return template if isinstance(template, str) else None

    def known(self, source: str) -> int:
        """How many of the template's control tokens it has."""
        return sum(token in self.added for token in control_tokens(source))

    def write(self, source: str, folder: Path) -> list[str]:
        """Write the tokenizer with this template; returns the control tokens that were appended.

        Args:
            source: The chat template.
            folder: The folder to write, made if it is not there.
        """
        missing = [token for token in control_tokens(source) if token not in self.added]
        first = max([self.vocabulary, *(token["id"] + 1 for token in self.data["added_tokens"])])
        extra = [
            {
                "id": first + number,  # the library takes the vocabulary's, where it has one
                "content": text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, text in enumerate(missing)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        data = {**self.data, "added_tokens": [*self.data["added_tokens"], *extra]}
        (folder / "tokenizer.json").write_text(
            json.dumps(data, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )
        config = {key: value for key, value in self.config.items() if key != "chat_template"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
        return missing


def best_tokenizer(source: str, tokenizers: list[BaseTokenizer]) -> BaseTokenizer:
    """The tokenizer that has most of a template's control tokens; of equals the smallest, which is
    quickest to load.
    """
    return max(tokenizers, key=lambda each: (each.known(source), -each.size))
