"""How long the longest prompts of a skeleton file are, and which do not fit the context: looked at
while a run is planned, where the file is there already.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cbdata.fill.plan import RenderPrompt, prompt_messages
from cbdata.fill.settings import FillSettings
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.fill.skeletons import Skeleton
from cbdata.fill.token_budget import TokenBudget
from cbdata.rejects import Reject
from cbdata.schemas import first_error
from cbdata.skeleton_sets import stem_of

MOST_PROMPTS = 2000
"""So many of the longest skeletons are looked at before a run at most."""

QUICK_PROMPTS = 8
"""And in a dry run."""

FIT_IN_A_ROW = 20
"""After so many prompts that fit, of ever shorter skeletons, the rest is taken to fit too."""


@dataclass(frozen=True)
class GivenSkeletons:
    """The skeleton files of a run, of which some may not be there yet, and the folders of tool
    schemas that they may name.
    """

    files: Sequence[str] = ()
    tool_schema_dirs: Sequence[str] = ()


@dataclass(frozen=True)
class PromptSizes:
    """What was found in one file of ``skeletons`` records: ``longest`` prompt in tokens, and how
    many of the ``looked`` prompts are ``too_long``. ``whole``: the other prompts are shorter than
    some that fit.
    """

    stem: str
    skeletons: int
    looked: int
    longest: int
    too_long: int
    whole: bool

    def line(self, budget: TokenBudget, context: int) -> str:
        """The same for people; ``context`` in tokens."""
        longest = f"{self.stem}: the longest prompt has {self.longest:,} tokens"
        if not self.too_long:
            return f"{longest} and fits"
        count = f"{self.too_long} of {self.skeletons}" if self.whole else f"{self.too_long} or more"
        return (
            f"warning: {longest}: {count} skeletons do not fit a context of {context:,} tokens with"
            f" {budget}, and become rejects (overlength)"
        )


def prompt_sizes(
    path: str,
    settings: FillSettings,
    schemas: SkeletonTools,
    render: RenderPrompt,
    fits: Callable[[int], bool],
    most: int,
) -> PromptSizes | None:
    """Render the prompts of the longest skeletons of a file, beginning with the longest; None where
    there is no such file, or no prompt in it.

    Args:
        path: The skeleton file.
        settings: The run's settings.
        schemas: Finds the tools of each skeleton.
        render: Makes the prompt of messages and tools.
        fits: Whether a prompt of so many tokens fits.
        most: Skeletons that are looked at.
    """
    if not Path(path).is_file():
        return None
    records, chosen = _longest(path, settings.limit, most)
    sizes: list[int] = []
    in_a_row = 0
    for line, data in chosen:
        size = _prompt_size(line, data, settings, schemas, render)
        if size is None:
            continue
        sizes.append(size)
        in_a_row = in_a_row + 1 if fits(size) else 0
        if in_a_row == FIT_IN_A_ROW:
            break
    if not sizes:
        return None
    whole = in_a_row > 0 or len(chosen) == records
    too_long = sum(not fits(size) for size in sizes)
    return PromptSizes(stem_of(path), records, len(sizes), max(sizes), too_long, whole)


def _longest(path: str, limit: int | None, most: int) -> tuple[int, list[tuple[int, bytes]]]:
    """How many records a file has, up to a limit, and the longest lines with their numbers."""
    heap: list[tuple[int, int, bytes]] = []
    records = 0
    with open(path, "rb") as handle:
        for line, data in enumerate(handle, start=1):
            if limit is not None and line > limit:
                break
            records = line
            entry = (len(data), -line, data)
            if len(heap) < most:
                heapq.heappush(heap, entry)
            elif entry[:2] > heap[0][:2]:
                heapq.heapreplace(heap, entry)
    return records, [(-line, data) for _, line, data in sorted(heap, reverse=True)]


def _prompt_size(
    line: int, data: bytes, settings: FillSettings, schemas: SkeletonTools, render: RenderPrompt
) -> int | None:
    """Tokens of the longer prompt of a skeleton; None where it cannot have one."""
    try:
        record: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or first_error("trace_v1", record):
        return None
    skeleton = schemas.known(Skeleton(line, record))
    if skeleton.fault is not None or skeleton.tools is None:
        return None
    for mode in settings.modes:
        try:
            messages = prompt_messages(record, mode, settings)
            return len(render(messages, list(skeleton.tools.tools)).ids)
        except Reject:
            continue
    return None
