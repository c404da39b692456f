"""The configuration of a run as a file: the record of the run, and what its jobs read.

A job on a cluster is a ``snakemake`` command inside quotes inside another shell. Nothing but the
place of this file goes that way, in letters that no shell changes; so what the main process settled
is what every job has, whatever is written in it and whoever edits a configuration meanwhile.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbdata.atomic_file import FileError, write_atomic
from cbdata.config import ConfigError

FOLDER = "run_configs"
MARK = "run_config="


@dataclass(frozen=True)
class RunConfig:
    """A settled configuration with its file, which is named by its content: runs with different
    settings have different files, and a run that is repeated has the same one.
    """

    path: Path
    text: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RunConfig:
        """The file of a configuration as ``resolve_config`` returns it, below its ``output_base``.

        Raises ConfigError for a value that would not come back from the file as it is.
        """
        problems = [
            f"{key}: {value!r} cannot be handed to jobs ({why})"
            for key, value in config.items()
            if (why := _why_lost(value))
        ]
        if problems:
            raise ConfigError(problems)
        text = json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        folder = Path(config["output_base"]).absolute() / FOLDER
        return cls(folder / f"{_digest(text)}.json", text)

    @property
    def word(self) -> str:
        """The one ``--config`` word of a job: letters and digits, and ``=``, ``-`` and ``_``."""
        return MARK + base64.urlsafe_b64encode(os.fsencode(self.path)).decode("ascii")

    def save(self) -> None:
        """Write the file, unless it is there. Other runs may do so at the same time."""
        if self._is_there():
            return
        try:
            write_atomic(self.path, self.text.encode("utf-8"))
        except FileError:
            # A writer on another host takes the first one's unfinished file for a dead one.
            if not self._is_there():
                raise

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError):
            return self.path.read_bytes() == self.text.encode("utf-8")
        return False


def named_run_config(words: Sequence[str]) -> Path | None:
    """The file that the ``--config`` words of a job name; None for words of another kind."""
    if len(words) != 1 or not words[0].startswith(MARK):
        return None
    return Path(os.fsdecode(base64.urlsafe_b64decode(words[0].removeprefix(MARK))))


def read_run_config(path: Path) -> dict[str, Any]:
    """The configuration in a run's file.

    Raises ConfigError where the file is missing or is not what the main process wrote.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [
                (
                    f"{path}: {error.strerror}. The main process writes this file before it starts"
                    " a job. Fix: run again, without --no-hooks"
                )
            ]
        ) from error
    if _digest(text) != path.stem:
        raise ConfigError([f"{path}: changed since it was written. Fix: remove it and run again"])
    config: dict[str, Any] = json.loads(text)
    return config


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _why_lost(value: Any) -> str | None:
    """Why JSON would not give a value back as it is; None where it would."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        written.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    except (TypeError, ValueError) as error:
        return str(error)
    return None if json.loads(written) == value else "its keys must be texts"
