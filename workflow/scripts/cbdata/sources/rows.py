"""The records of a raw file of any source: the lines of a JSON Lines file, the elements of a JSON
array, or the one object of a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from cbdata.ids import canonical_json
from cbdata.rejects import Reject
from cbdata.sources.raw_lines import RawLine, read_lines, read_whole


def read_rows(path: Path) -> Iterator[RawLine]:
    """Yield the records of a file, without blank lines; the number of an element of an array counts
    from 1. Raises SourceError as ``read_lines`` does.
    """
    if path.suffix != ".json":
        yield from (line for line in read_lines(path) if line.data or line.problem)
        return
    whole = read_whole(path)
    if whole.problem is not None or not whole.data.startswith(b"["):
        yield whole
        return
    try:
        elements = orjson.loads(whole.data)
    except orjson.JSONDecodeError:
        yield whole  # parse_object says what is wrong
        return
    if not elements:
        yield RawLine(None, b"", Reject("empty_file", "expected records, the list is empty"), True)
    for number, element in enumerate(elements, start=1):
        yield RawLine(number, canonical_json(element), None, True)
