"""A disk that takes no more, without a disk of its own: the limit on the size of this process's
files, which the system reports as an error of ``write`` like any other (EFBIG).
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def full_disk(after_bytes: int = 0) -> Iterator[None]:
    """Inside it no file grows beyond ``after_bytes``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
