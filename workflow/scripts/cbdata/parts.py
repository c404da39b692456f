"""Parts of a file of lines, for jobs that share the work on it: no part is written anywhere, each
job reads its own range.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Part:
    """Part ``number``, from 0, of ``of`` parts of a file: the lines that begin in its share of the
    bytes. Every line is in exactly one part, and the parts in their order are the file.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        """Raises ValueError for a part that does not exist."""
        if not 0 <= self.number < self.of:
            raise ValueError(f"part {self.number} of {self.of}: expected 0 <= number < of")

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole file."""
        return self.of == 1

    def lines(self, handle: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each line of the part in the whole file, from 1, and its bytes.

        Args:
            handle: The file, open at its beginning.
        """
        if self.is_whole:
            yield from enumerate(handle, start=1)
            return
        size = os.fstat(handle.fileno()).st_size
        start, end = (size * number // self.of for number in (self.number, self.number + 1))
        number, position = _first_line(handle, start)
        while position < end:
            line = handle.readline()
            position += len(line)
            yield number, line
            number += 1


WHOLE = Part(0, 1)


def part_of(named: Mapping[str, str]) -> Part:
    """The part that the wildcards ``part`` and ``parts`` name; the whole file without them."""
    number, of = named.get("part"), named.get("parts")
    return WHOLE if number is None or of is None else Part(int(number), int(of))


def _first_line(handle: BinaryIO, start: int) -> tuple[int, int]:
    """Go to the first line that begins at the byte ``start`` or later; return its number, from 1,
    and the byte that it begins at.
    """
    if start == 0:
        return 1, 0
    newlines, left = 0, start - 1
    while left:
        block = handle.read(min(left, _BLOCK_BYTES))
        newlines += block.count(b"\n")
        left -= len(block)
    # What is left of the line that the byte before ``start`` is in: a line begins behind it.
    return newlines + 2, start - 1 + len(handle.readline())
