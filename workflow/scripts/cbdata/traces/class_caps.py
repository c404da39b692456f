"""The most traces of a class: which of a file are taken."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cbdata.ids import digest
from cbdata.jsonl import read_records


def sample_rank(key: str) -> str:
    """What a class is sorted by before its first traces are taken: the same key has the same place
    among any others, so that a sample depends on neither order nor file.
    """
    return digest(["sample", key])


class _Rank(NamedTuple):
    """The place of a trace among those of its class: that of its skeleton where it has one, so
    that twins are taken or left together as far as both classes have room.
    """

    skeleton: str
    trace: str


class ClassCaps:
    """Which traces of one file are more than ``class_caps`` allows.

    The file is read once before, unless there are no caps; memory grows with the caps alone.
    """

    def __init__(self, traces: str | Path, caps: Mapping[str, int]) -> None:
        """Look through a file.

        Args:
            traces: A trace_v1 file.
            caps: The most traces by class.
        """
        self._caps = caps
        self._kept: dict[str, list[_Rank]] = {class_id: [] for class_id in caps}
        if not caps:
            return
        for _, trace in read_records(traces):
            found = _placed(trace)
            if found is None or found[0] not in caps:
                continue
            kept = self._kept[found[0]]
            if len(kept) < caps[found[0]] or (kept and found[1] < kept[-1]):
                bisect.insort(kept, found[1])
                del kept[caps[found[0]] :]

    def leaves_out(self, trace: Mapping[str, Any]) -> bool:
        """Whether a trace of the file is not taken; what is no trace is."""
        found = _placed(trace) if self._caps else None
        if found is None or found[0] not in self._caps:
            return False
        kept = self._kept[found[0]]
        return not kept or found[1] > kept[-1]


def _placed(trace: Mapping[str, Any]) -> tuple[str, _Rank] | None:
    """A trace's class and its place in it; None for what is no trace."""
    try:
        parents = trace["links"].get("parent_trace_ids") or [trace["id"]]
        return (
            str(trace["training"]["mixture"]["class_id"]),
            _Rank(sample_rank(str(parents[0])), str(trace["id"])),
        )
    except (KeyError, TypeError, AttributeError, IndexError):
        return None
