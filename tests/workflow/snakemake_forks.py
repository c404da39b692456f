"""Snakemake's command line without its start: a process that has imported it, and forks for each
call. Half of what a short run costs is this import, and the tests make some two hundred runs.

As a script it is that process: a line of JSON on stdin is a call, a line on stdout its status.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn


class SnakemakeForks:
    """Runs of ``python -m snakemake``, one after the other."""

    def __init__(self) -> None:
        # Nothing of the tests' own search path: a run imports the library of the workflow it is of.
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
            start_new_session=True,
        )

    def run(
        self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], output: Path
    ) -> int:
        """Wait for a run, and return its status.

        Args:
            arguments: Those behind ``snakemake``.
            cwd: Where it runs.
            environ: Its environment, whole.
            output: The file that stdout and stderr are added to.
        """
        call = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environ": dict(environ),
            "output": str(output),
        }
        assert self._server.stdin and self._server.stdout
        try:
            self._server.stdin.write(json.dumps(call) + "\n")
            self._server.stdin.flush()
            return int(self._server.stdout.readline())
        except BaseException:  # a time limit, or Ctrl-C: the run must not outlive its test
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can run anything; it cannot once a run was broken off."""
        return self._server.poll() is None

    def close(self) -> None:
        """End the process, and a run that still goes on."""
        if self.alive:
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.communicate()


def _serve() -> None:
    import snakemake.cli  # noqa: F401  (what all calls have in common)

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            answers.close()
            _become(json.loads(line))
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
        answers.flush()


def _become(call: Mapping[str, Any]) -> NoReturn:
    """Be the run, with what a new process has from its parent and its command line."""
    from snakemake.cli import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(call["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.chdir(call["cwd"])
    os.environ.clear()
    os.environ.update(call["environ"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.argv[1:] = call["arguments"]
    sys.path[0] = call["cwd"]
    sys.exit(main(call["arguments"]))


if __name__ == "__main__":
    _serve()
