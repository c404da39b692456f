"""The page: figures and viewer in one HTML file that runs only its own script and loads nothing.

The Content-Security-Policy names the script and the style sheet by hash and forbids everything
else, and Trusted Types forbid turning text into markup at run time. Values reach the page in two
ways: through the template, which escapes them, and as JSON in a ``script`` element of a data type,
in which ``<``, ``>`` and ``&`` are written as escapes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cbdata.report.chart import Figure, label
from cbdata.report.text import parts, script_json_pieces, visible
from cbdata.version import __version__

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    *("text.js", "blocks.js", "list.js", "decode.js", "tokens.js", "panes.js", "search.js"),
    *("links.js", "rejects.js", "tabs.js", "picks.js", "viewer.js"),
)
STYLES = ("page.css", "figures.css", "viewer.css")


class AssetError(ValueError):
    """A script or style of the page holds text that would end its own element."""


@dataclass(frozen=True)
class FigureSection:
    """A headed part of the page."""

    key: str
    title: str
    figures: Sequence[Figure]


def asset(names: Sequence[str], forbidden: str) -> str:
    """The text of some assets, one after the other. Raises AssetError if it holds ``forbidden`` or
    the start of a comment.
    """
    text = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in names)
    if forbidden in text.lower() or "<!--" in text:
        raise AssetError(
            f"{', '.join(names)}: expected no {forbidden!r} and no '<!--' in the text. Hint: write"
            " the string in two parts"
        )
    return text


def source_hash(text: str) -> str:
    """A Content-Security-Policy source for an inline element with exactly this text."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def content_policy(script: str, style: str) -> str:
    """What the page may do: run the one script, apply the one style sheet."""
    rules = (
        "default-src 'none'",
        f"script-src {source_hash(script)}",
        f"style-src {source_hash(style)}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join((*rules, "require-trusted-types-for 'script'", "trusted-types 'none'"))


def _label(value: Any) -> Markup:
    """A label, escaped, with the places where its line may be broken."""
    return Markup("<wbr>").join(parts(label(value)))


def render_page(
    title: str,
    tiles: Sequence[tuple[str, str]],
    sections: Sequence[FigureSection],
    settings: Mapping[str, Any],
    index: Mapping[str, Any],
    blocks: Sequence[str],
) -> Iterator[str]:
    """The page in pieces, so that its index and its blocks need not be in memory twice.

    Args:
        title: The heading of the page.
        tiles: Name and value of the figures at its top.
        sections: What is below them.
        settings: The configuration's keys that are shown.
        index: The viewer's index, as ``viewer_data`` makes it.
        blocks: The viewer's blocks.

    Raises:
        AssetError: A script or style of the page would end its own element.
    """
    script, style = asset(SCRIPTS, "</script"), asset(STYLES, "</style")
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    environment.filters["label"] = _label
    template = environment.get_template("page.html.jinja")
    yield from template.generate(
        title=title,
        policy=content_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        sections=sections,
        tiles=tiles,
        settings=settings,
        shown=len(index["traces"]["id"]),
        total=sum(dataset["total"] for dataset in index["datasets"]),
        index=map(Markup, script_json_pieces(index)),
        blocks=blocks,
        version=__version__,
    )
