"""The command of a job, quoted for the shells that it goes through.

Snakemake writes the texts of a command as Python does: ``"it's $HOME"`` for a path with an
apostrophe, in which a shell replaces the variable. The plugin puts the whole into double quotes
(``--wrap="..."``) and guards no more than the double quotes in it. So paths with ``'``, ``$`` or a
backtick did not reach the job as they are.
"""

from __future__ import annotations

import shlex
from typing import Any

from snakemake_interface_executor_plugins import utils


def quoted(value: Any) -> str:
    """A text as one word of a shell's command; anything else as Python writes it.

    Args:
        value: What stands in the command.
    """
    return shlex.quote(value) if isinstance(value, str) else repr(value)


def guarded(command: str) -> str:
    """A command for double quotes: what a shell would replace in them is kept, but for the double
    quotes themselves, which the plugin guards.

    Args:
        command: The command.
    """
    for character in ("\\", "$", "`"):
        command = command.replace(character, f"\\{character}")
    return command


def install() -> None:
    """Have Snakemake quote the texts of commands for a shell, in this process."""
    # The module knows no other name for it than Python's own.
    utils.repr = quoted
