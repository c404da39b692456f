"""Whether what must stay together stands in one split: user tasks, injections, prompts alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from cbdata.disk_table import DiskTable
from cbdata.lookup import Place, PlaceTable
from cbdata.records import Trace
from cbdata.sources.options import SplitBy
from cbdata.traces.compared import compared
from cbdata.validation.findings import Findings

_NUMBER = re.compile(r"\d+")


class LeakageChecks:
    """Compares the splits of traces that share a user task, an injection or, nearly, a prompt.

    Texts are compared without case, punctuation, spacing and Unicode form, injections by their
    goals; nearly the same prompts without numbers as well. User tasks with a name are compared by
    that, too, whatever their words. Other paraphrases are not found.
    """

    def __init__(self, findings: Findings, split_by: SplitBy) -> None:
        """Begin with no trace.

        Args:
            findings: Takes the results.
            split_by: What the splits were to keep together: ``task``, ``injection`` or ``both``.
                The rest is noted.
        """
        self._findings = findings
        self._promised = {
            "task": split_by in ("task", "both"),
            "injection": split_by in ("injection", "both"),
            "prompt": False,
        }
        # The first trace of every key, with its split, and the keys that stand in several splits.
        self._first = {kind: PlaceTable() for kind in self._promised}
        self._shared = {kind: DiskTable() for kind in self._promised}
        self._example: dict[str, str] = {}

    def add(self, place: Place, trace: Trace) -> None:
        """Check one trace against those before it.

        Args:
            place: Where it stands.
            trace: A valid trace_v1.
        """
        task, name, injection = compared(trace)
        split = trace["split"]
        keys = [key for key in (task, name) if key is not None]
        if keys and not self._compare("task", keys, place, split) and task is not None:
            self._compare("prompt", [_NUMBER.sub("0", task)], place, split)
        if injection is not None:
            self._compare("injection", [injection], place, split)

    def _compare(self, kind: str, keys: Sequence[str], place: Place, split: str) -> bool:
        """Whether what has these keys stands in another split as well, under any of them."""
        found = []
        for name in keys:
            earlier = None
            if not self._first[kind].add(_short(name), place, split):
                earlier = self._first[kind].find(_short(name))
            found.append((name, *(earlier or (place, split))))
        key, first, own = next((each for each in found if each[2] != split), found[0])
        torn: bool = own != split
        if torn:
            self._shared[kind].add(_short(key))
            self._example.setdefault(
                kind, f"{key[:60]!a} in {own!a} at {first} and in {split!a} at {place}"
            )
        if self._promised[kind]:
            self._findings.expect(
                f"split_{kind}s",
                not torn,
                place,
                lambda: f"{key[:60]!a}: {split!a}, but {own!a} at {first}",
            )
        return torn

    def finish(self) -> None:
        """Note what is shared between splits without having been promised otherwise."""
        words = {
            "task": "user tasks stand in more than one split (split_by keeps injections together)",
            "injection": "injections stand in more than one split (split_by keeps tasks together)",
            "prompt": "user tasks differ from one in another split in their numbers alone",
        }
        for kind, shared in self._shared.items():
            if len(shared) and not self._promised[kind]:
                self._findings.note(f"{len(shared)} {words[kind]}, e.g. {self._example[kind]}")


def _short(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
