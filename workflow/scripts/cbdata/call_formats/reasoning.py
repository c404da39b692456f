"""The notations for reasoning, in a module of their own: the renderer knows them too, and nothing
else of the call formats.
"""

from __future__ import annotations

from typing import NamedTuple


class Notation(NamedTuple):
    """The two markers around reasoning. ``label``: text that must follow the first one."""

    opening: str
    closing: str
    label: str = ""


THINK = Notation("<think>", "</think>")
COMMAND_R = Notation("<|START_THINKING|>", "<|END_THINKING|>")
GEMMA4 = Notation("<|channel>", "<channel|>", label="thought\n")
MISTRAL = Notation("[THINK]", "[/THINK]")
MINIMAX_M3 = Notation("<mm:think>", "</mm:think>")
SEED_OSS = Notation("<seed:think>", "</seed:think>")
SOLAR = Notation("<|think|>", "<|end|>")
HARMONY = Notation("<|channel|>analysis", "<|end|>", label="<|message|>")
APERTUS = Notation("<|inner_prefix|>", "<|inner_suffix|>")

NOTATIONS = (THINK, COMMAND_R, GEMMA4, MINIMAX_M3, MISTRAL, SEED_OSS, SOLAR, HARMONY, APERTUS)
"""Every notation, those of the registered formats among them."""
