"""What a rule's script leaves in its log and on the console, and how the main process reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cbdata.logs import FAILED, SHORT_CONSOLE, JobLogs, reason_in

SCRIPT = """
import logging, sys, warnings
from cbdata.logs import configure_logging
configure_logging(sys.argv[1])
logging.getLogger("cbdata.work").info("begun %s", "at once")
logging.getLogger("cbdata.work").info("half done", extra={"on_console": True})
logging.getLogger("cbdata.work").warning("low")
logging.getLogger("vllm").warning("noise")
"""
FAILS = 'raise RuntimeError("broken <on> purpose\\nin two lines")'


def run(repo: Path, log: Path, last: str, short: bool) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key != SHORT_CONSOLE}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + last, str(log)],
        cwd=repo / "workflow/scripts",
        capture_output=True,
        text=True,
        env=environ | ({SHORT_CONSOLE: "1"} if short else {}),
    )


def test_log_file_and_stderr_get_everything_and_the_reason_last(tmp_path: Path, repo: Path) -> None:
    log = tmp_path / "new/rule.log"
    done = run(repo, log, FAILS, short=False)
    assert done.returncode == 1
    text = log.read_text(encoding="utf-8")
    assert text == done.stderr
    lines = text.splitlines()
    assert lines[0].endswith("INFO cbdata.work: begun at once")
    assert lines[3].endswith("WARNING vllm: noise")
    assert lines[5] == "    Traceback (most recent call last):"
    assert lines[-3].endswith("ERROR script: RuntimeError: broken <on> purpose")
    assert lines[-2] == "    in two lines" and lines[-1].endswith(f"INFO script: {FAILED}")
    assert reason_in(log) == "RuntimeError: broken <on> purpose\nin two lines"


def test_where_a_run_is_watched_the_console_gets_progress_and_warnings(
    tmp_path: Path, repo: Path
) -> None:
    done = run(repo, tmp_path / "rule.log", FAILS, short=True)
    first, second = done.stderr.splitlines()
    assert first.endswith("] half done") and first.startswith("[")
    assert second.startswith("WARNING: [") and second.endswith("] low")
    assert "Traceback" in (tmp_path / "rule.log").read_text()


def test_a_full_disk_under_the_log_leaves_the_reason_on_the_console(
    tmp_path: Path, repo: Path
) -> None:
    """What was written there before stays; what is written as well is told once."""
    log = tmp_path / "rule.log"
    log.write_text("of an earlier job\n")
    fails = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))\n" + FAILS
    done = run(repo, log, fails, short=True)
    assert done.returncode == 1 and "Logging error" not in done.stderr
    lines = done.stderr.splitlines()
    (told,) = [line for line in lines if "rule.log could not be written: File too large" in line]
    assert told.startswith("WARNING: [")
    assert any(line.endswith("RuntimeError: broken <on> purpose") for line in lines)
    assert log.read_text().startswith("of an earlier job\n")


def test_the_project_s_own_errors_are_sentences_and_a_stop_is_no_failure(
    tmp_path: Path, repo: Path
) -> None:
    own, stopped = tmp_path / "own.log", tmp_path / "stopped.log"
    run(
        repo, own, "from cbdata.stage import TooManyRejects\nraise TooManyRejects('44 of 44')", True
    )
    assert reason_in(own) == "44 of 44"
    done = run(repo, stopped, "raise KeyboardInterrupt", True)
    assert done.returncode and "Traceback" not in done.stderr + stopped.read_text()
    assert reason_in(stopped) is None


def test_what_an_earlier_try_left_in_the_log_is_not_this_job_s(tmp_path: Path, repo: Path) -> None:
    log, jobs = tmp_path / "rule.log", JobLogs()
    run(repo, log, FAILS, True)
    jobs.started([str(log)])
    assert jobs.reason([str(log)]) is None and jobs.last_lines([str(log)]) == []
    run(repo, log, "raise KeyError('later')", True)
    assert jobs.reason(["/no/such.log", str(log)]) == "KeyError: 'later'"
    jobs.started([str(log)])
    log.unlink()  # as Snakemake does with the logs of a local job
    run(repo, log, "raise KeyError('anew, and longer than the log was ' + 'x' * 5000)", True)
    assert str(jobs.reason([str(log)])).startswith("KeyError: 'anew, and longer")
    log.write_text("written anew\n\nwithout a reason\n")
    assert jobs.reason([str(log)]) is None
    assert jobs.last_lines([str(log), "/no/such.log"]) == ["written anew", "without a reason"]
