"""The sets of skeletons that a run completes: what ``skeleton_traces`` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbdata.config import ConfigError, expand, is_path, name_problems, path_problems
from cbdata.records import Mode

KEY = "skeleton_traces"
DEFAULT_SET = "fujitsu_b4_skeletons"
"""The set of ``skeleton_traces: null``, which takes part where its source is configured."""

SUFFIX = "_skeletons"


@dataclass(frozen=True)
class SkeletonSet:
    """Skeleton traces that the fill stage completes: ``X_skeletons`` gives ``X_ds`` and ``X_dr``.

    ``path`` is the trace file; ``modes`` are the completions that are asked for; ``by_path`` says
    that the file was given by its path, and not by a name in ``traces/``.
    """

    name: str
    path: str
    modes: tuple[Mode, ...]
    by_path: bool = False

    @property
    def stem(self) -> str:
        """The name that the sets made of it begin with."""
        return self.name.removesuffix(SUFFIX)

    @property
    def filled(self) -> list[str]:
        """The data sets that the fill stage makes of it."""
        return [f"{self.stem}_{mode}" for mode in self.modes]


def stem_of(path: str) -> str:
    """The stem of the set whose skeletons lie in a file."""
    return Path(path).name.removesuffix(".jsonl").removesuffix(SUFFIX)


def named_sets(value: str | Sequence[str] | None) -> list[str]:
    """The entries of a ``skeleton_traces`` value: null is the default set; a text is one entry, or
    several between commas where no file has that name as it stands.
    """
    if value is None:
        return [DEFAULT_SET]
    if not isinstance(value, str):
        return list(value)
    if "," not in value or Path(expand(value)).exists():
        return [value]
    return [part.strip() for part in value.split(",") if part.strip()]


def skeleton_sets(
    value: str | Sequence[str] | None, modes: tuple[Mode, ...], traces: Callable[[str], str]
) -> tuple[SkeletonSet, ...]:
    """The sets that ``skeleton_traces`` names, in its order; a file that is named twice is one set.

    Args:
        value: The value of the key.
        modes: The completions that are asked for.
        traces: The trace file of a data set that is given by its name.

    Raises:
        ConfigError: An entry cannot be used, or two files would give data sets of one name.
    """
    found: dict[str, SkeletonSet] = {}
    problems = []
    for entry in named_sets(value):
        name = Path(entry).name.removesuffix(".jsonl")
        by_path = is_path(entry)
        path = expand(entry) if by_path else traces(name)
        wrong = name_problems(KEY, name) + path_problems(KEY, path)
        part = SkeletonSet(name, path, modes, by_path)
        if not wrong and not part.stem:
            wrong = [f"{KEY}: {entry!r} gives no data set name. Fix: name it X{SUFFIX}"]
        before = found.setdefault(part.stem, part)
        if not wrong and before.path != path:
            twice = f"{before.path!r} and {path!r} would both give {part.filled[0]!r}"
            wrong = [f"{KEY}: {twice}. Fix: rename one of the files"]
        problems += wrong
    if not problems and not found:
        problems = [f"{KEY}: {value!r} names no set. Fix: name one, or leave the key out"]
    if problems:
        raise ConfigError(problems)
    return tuple(found.values())
