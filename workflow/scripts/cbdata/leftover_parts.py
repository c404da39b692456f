"""Parts of files (``cbdata.parts``) that a failed run with another number of them has left."""

from __future__ import annotations

import re
from pathlib import Path

from cbdata.atomic_file import naming

_PART_FILE = re.compile(r"\.?[0-9]+-of-(?P<parts>[0-9]+)\.")


def remove_other_parts(folder: str | Path, parts: int) -> list[Path]:
    """Remove the files of parts that a run with another number of them left.

    Args:
        folder: Where the parts of one data set lie, each file named ``<part>-of-<parts>.<kind>``,
            or hidden and longer where it is unfinished. It need not be there.
        parts: The number whose files stay.

    Returns:
        What was removed.

    Raises:
        FileError: A file cannot be removed.
    """
    removed = []
    for path in sorted(Path(folder).glob("*")):
        named = _PART_FILE.match(path.name)
        if named is not None and int(named["parts"]) != parts:
            with naming(path):
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed
