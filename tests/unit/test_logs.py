"""What a rule's script leaves in its log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging, sys
from cbdata.logs import configure_logging
configure_logging(sys.argv[1])
logging.getLogger("work").info("begun %s", "at once")
raise RuntimeError("broken <on> purpose")
"""


def test_log_file_and_stderr_get_lines_and_the_traceback(tmp_path: Path, repo: Path) -> None:
    log = tmp_path / "new/rule.log"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(log)],
        cwd=repo / "workflow/scripts",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    text = log.read_text(encoding="utf-8")
    assert text == done.stderr
    first, second, third, *rest = text.splitlines()
    assert first.endswith("INFO work: begun at once")
    assert second.endswith("ERROR script: RuntimeError: broken <on> purpose")
    assert third == "Traceback (most recent call last):"
    assert rest[-1] == "RuntimeError: broken <on> purpose"
