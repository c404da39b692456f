"""Whether what must stay together stands in one split: user tasks, injections, prompts alike."""

from __future__ import annotations

import hashlib
import re

from cbdata.disk_table import DiskTable
from cbdata.lookup import Place, PlaceTable
from cbdata.records import Trace
from cbdata.sources.options import SplitBy
from cbdata.sources.split_keys import injection_key, task_key
from cbdata.traces.injections import injection_spans
from cbdata.validation.findings import Findings

_NUMBER = re.compile(r"\d+")


class LeakageChecks:
    """Compares the splits of traces that share a user task, an injection or, nearly, a prompt.

    Texts are compared without case, punctuation, spacing and Unicode form, injections by their
    goals; nearly the same prompts without numbers as well. Paraphrases in other words are not
    found.
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
        task = task_key(trace["messages"], injection_spans(trace))
        injection = (trace.get("tool_attack") or {}).get("injection_text")
        if task is not None:
            torn = self._compare("task", task, place, trace["split"])
            if not torn:
                self._compare("prompt", _NUMBER.sub("0", task), place, trace["split"])
        if trace["labels"]["attack_present"] and injection:
            self._compare("injection", injection_key(injection), place, trace["split"])

    def _compare(self, kind: str, key: str, place: Place, split: str) -> bool:
        """Whether a key stands in another split as well."""
        short = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        first, own = place, split
        if not self._first[kind].add(short, place, split):
            first, own = self._first[kind].find(short) or (place, split)
        torn = own != split
        if torn:
            self._shared[kind].add(short)
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
