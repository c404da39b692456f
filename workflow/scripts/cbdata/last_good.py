"""The last good version of a file, kept under a second name while a job tries to make a new one.

The second name, ``.{name}.kept`` beside the file, is a hard link: it costs no copy, whatever the
size, and keeps bytes and times when the first name is removed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cbdata.atomic_file import naming


def set_aside(path: Path) -> bool:
    """Give a file, or every file of a folder, its second name; what had it before loses it.

    Without the file nothing happens, and what an interrupted run set aside stays the last good:
    returns whether there is such a version. Raises FileError, e.g. where the file system has no
    hard links.
    """
    kept = _kept(path)
    if not os.path.lexists(path):
        return os.path.lexists(kept)
    with naming(kept):
        _remove(kept)
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, kept, symlinks=True, copy_function=os.link)
        else:
            os.link(path, kept, follow_symlinks=False)
    return False


def put_back(path: Path) -> bool:
    """Give the kept version its name again if that is free, else let go of it; returns whether it
    was put back.
    """
    kept = _kept(path)
    with naming(path):
        if os.path.lexists(kept) and (not os.path.lexists(path) or _one_file(kept, path)):
            # Between two names of one file this does nothing. But where only a stale cache (NFS)
            # still shows the second one, it puts the file back.
            os.rename(kept, path)
            if not os.path.lexists(kept):
                return True
        _remove(kept)
    return False


def _kept(path: Path) -> Path:
    return path.with_name(f".{path.name}.kept")


def _one_file(one: Path, other: Path) -> bool:
    return os.path.samestat(os.lstat(one), os.lstat(other))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
