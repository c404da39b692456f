"""Where the injection stands in a trace: the one reader of the two fields that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbdata.records import CharSpan


def injection_spans(trace: Mapping[str, Any]) -> list[CharSpan]:
    """Every place of the injection that a trace or skeleton names, in the order of the text.

    A trace may name places in ``signal_hints.injection_char_span`` (one) and in
    ``injection_char_spans`` (several). Both count, and a place that both name counts once, with
    the fields that the list has of it.
    """
    hints = trace["signal_hints"]
    one, several = hints.get("injection_char_span"), hints.get("injection_char_spans")
    places: dict[tuple[int, int, int], CharSpan] = {}
    for span in [*([one] if one else []), *(several or [])]:
        places[span["message_index"], span["char_start"], span["char_end"]] = span
    return [places[place] for place in sorted(places)]
