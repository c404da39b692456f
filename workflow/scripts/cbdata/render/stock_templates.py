"""Stock chat templates that lose what a conversation says, and the project's templates for them
(``chat_template: auto``).

A stock template is known by the SHA-256 of its text without white space at its ends. A new entry
changes the prompts of the tokenizers that have it: raise FILL_VERSION with it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from cbdata.paths import CHAT_TEMPLATES

logger = logging.getLogger(__name__)

CONTROL = re.compile(r"<\|[a-z_:]+\|>|\[/?[A-Z_]+\]")


@dataclass(frozen=True)
class Stock:
    """A stock template that loses something.

    Attributes:
        families: The models that are published with it.
        loses: What it drops or refuses.
        project: The template of configs/chat_templates that stands in for it.
    """

    families: str
    loses: str
    project: str


LLAMA_LOSES = "drops the text beside a call, and refuses turns with several calls"
BESIDE_CALLS = "drops the text beside calls"
STOCK = {
    "93c0e9aa3629bbd77e68dbc0f5621f6e6b23aa8d74b932595cdb8d64684526d7": Stock(
        "Llama 3.1 and 3.3", LLAMA_LOSES, "llama31_tools"
    ),
    "d82792f95932f1c9cef5c4bd992f171225e3bf8c7b609b4557c9e1ec96be819f": Stock(
        "Llama 3.2", LLAMA_LOSES, "llama31_tools"
    ),
    "e7deee034838db2bfc7487788a3013d8a307ab69f72f3c54a85f06fd76007d4e": Stock(
        "Mistral Nemo",
        "drops the system message and the text beside calls, and refuses call ids that have not"
        " nine characters",
        "mistral_tools",
    ),
    "d990bccdaaa20611e261434bf60bce767b03d8ee1f1d9b5cd0742b1cc96066b9": Stock(
        "Mistral Small 3.2",
        "drops the text beside calls, and refuses call ids that have not nine characters and"
        " conversations whose roles do not alternate",
        "mistral_small_tools",
    ),
    "a4c9919cbbd4acdd51ccffe22da049264b1b73e59055fa58811a99efbd7c8146": Stock(
        "gpt-oss",
        "drops the text beside a call that an answer follows later, and all but the first of"
        " several calls in a turn",
        "gpt_oss_tools",
    ),
    "c2e6220e74d32601bc99eeba3ce6caf69576080d18e2c33f93e560f6035ce1e3": Stock(
        "Solar Open", BESIDE_CALLS, "solar_tools"
    ),
    "ce62e308475b364e1fc76699dccbddeb9ac08344f90d59719dba86a9922834d9": Stock(
        "Hermes 2 Pro and Hermes 3 (tool_use)",
        f"{BESIDE_CALLS}, and refuses conversations without tools",
        "hermes_tools",
    ),
    "e1790d8fbe1c587e6fc385e2a712363f86faf52ae1fb1fcbfc5ded3eb1fae70a": Stock(
        "MiniMax M1", BESIDE_CALLS, "minimax_m1_tools"
    ),
}


def stock_of(source: str) -> Stock | None:
    """The entry of a chat template that is a known stock template, else None."""
    return STOCK.get(hashlib.sha256(source.strip().encode("utf-8")).hexdigest())


def one_of(own: str | Mapping[str, str] | None) -> str | None:
    """A tokenizer's own chat template; of several, the one that is a known stock template, or
    None.
    """
    if own is None or isinstance(own, str):
        return own
    return next((each for each in own.values() if stock_of(each)), None)


def stand_in(own: str | None, control: Container[str] | None) -> Stock | None:
    """The entry whose project template a tokenizer is to be used with, else None.

    Args:
        own: The tokenizer's own chat template, or None.
        control: The tokenizer's control tokens, which must have all that the project's template
            prints; None where they are not known, so that this is not looked at.
    """
    stock = stock_of(own) if own else None
    if stock is None:
        return None
    if control is None:
        return stock
    printed = CONTROL.findall((CHAT_TEMPLATES / f"{stock.project}.jinja").read_text("utf-8"))
    missing = sorted(token for token in set(printed) if token not in control)
    if missing:
        logger.warning(
            "the stock chat template of %s %s; the tokenizer lacks %s, so %s cannot be used",
            stock.families,
            stock.loses,
            ", ".join(missing),
            stock.project,
        )
        return None
    logger.info(
        "the tokenizer's chat template is the stock one of %s, which %s: the project's %s is used"
        " (chat_template: auto; null takes the tokenizer's own)",
        stock.families,
        stock.loses,
        stock.project,
    )
    return stock
