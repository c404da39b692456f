"""The words of a run: the reason of a failed job at once and last, one line for a stop."""

from __future__ import annotations

from pathlib import Path

from cbdata.console import INTERRUPTED, KILLED, Console, FailedJob

LOG = "2026-01-01 00:00:00,000"


def failed(log: Path, number: int = 1, **more: object) -> FailedJob:
    outputs = [f"out/{part}.jsonl" for part in range(5)]
    return FailedJob(number, "render_traces", outputs, [str(log)], **more)  # type: ignore[arg-type]


def start(console: Console, log: Path, number: int = 1) -> None:
    line = console.job_started(number, "Render {ds}.", [str(log)])
    assert line.endswith(f"] Job {number}: Render {{ds}}.")


def test_a_reason_is_told_at_once_and_last(tmp_path: Path) -> None:
    log, console = tmp_path / "r.log", Console()
    start(console, log)
    log.write_text(
        f"{LOG} INFO a: begun\n{LOG} ERROR script: where\nTraceback:\n  x\n"
        f"{LOG} ERROR script: 3 of 3 rejected\nHint: {{mend}}\n{LOG} INFO script: the job failed\n"
        f"{LOG} INFO a: kept\n".replace("\\\n", "\n")
    )
    text = console.job_failed(failed(log, more={"external_jobid": 7}))
    lines = text.splitlines()
    assert lines[0] == "Error in rule render_traces: 3 of 3 rejected"
    assert lines[1] == "Hint: {mend}"
    assert "out/0.jsonl, out/1.jsonl, out/2.jsonl and 2 more" in lines[2]
    assert lines[3:] == [f"    log: {log}", "    external_jobid: 7"]
    assert console.closing().splitlines() == [
        "A job failed.",
        f"render_traces (log: {log}): 3 of 3 rejected",
        "Hint: {mend}",
    ]


def test_a_job_that_left_no_word(tmp_path: Path) -> None:
    log, console = tmp_path / "r.log", Console()
    start(console, log)
    log.write_text("one\ntwo\n")
    killed = console.job_failed(failed(log), "x returned non-zero exit status 137.")
    assert killed.startswith(f"Error in rule render_traces: {KILLED}. The last lines of its log:")
    assert "        one\n        two\n" in killed
    by_name = console.job_failed(failed(log, 2), "died with <Signals.SIGKILL: 9>.")
    assert KILLED in by_name
    other = console.job_failed(failed(log, 3), "returned non-zero exit status 3.")
    assert "it ended with exit status 3." in other
    slurm = console.job_failed(failed(log, 4, said="SLURM status is:\n 'TIMEOUT'"))
    assert "render_traces: SLURM status is: 'TIMEOUT'." in slurm and "message" not in slurm
    silent = console.job_failed(failed(tmp_path / "none", 5))
    assert silent.startswith("Error in rule render_traces: it ended without a word.\n")
    assert console.closing().startswith("5 jobs failed.\n")


def test_why_a_job_was_told_to_stop_stands_beside_its_own_words(tmp_path: Path) -> None:
    log, console = tmp_path / "r.log", Console()
    start(console, log)
    log.write_text(f"{LOG} ERROR script: SIGTERM received\n{LOG} INFO script: the job failed\n")
    text = console.job_failed(
        failed(log, said="SLURM-job '2' failed,\nSLURM status is: 'TIMEOUT'.")
    )
    assert text.splitlines()[:2] == [
        "Error in rule render_traces: SIGTERM received",
        "    message: SLURM-job '2' failed, SLURM status is: 'TIMEOUT'.",
    ]


def test_a_job_that_succeeds_later_is_not_told_at_the_end(tmp_path: Path) -> None:
    console = Console()
    for number in (1, 2):
        start(console, tmp_path / "r.log", number)
        console.job_failed(failed(tmp_path / "r.log", number))
    console.job_finished(1)
    console.job_finished(9)
    assert console.closing().startswith("A job failed.\n")
    console.job_finished(2)
    assert console.closing() == "The run failed; what is wrong stands above."


def test_a_stop_from_the_keyboard_is_one_line(tmp_path: Path) -> None:
    console = Console()
    start(console, tmp_path / "r.log")
    console.interrupted = True
    assert console.job_failed(failed(tmp_path / "r.log")) == ""
    assert console.closing() == INTERRUPTED and "\n" not in INTERRUPTED


def test_a_job_that_hears_of_the_stop_before_the_run_does_says_nothing(tmp_path: Path) -> None:
    for status in ("died with <Signals.SIGINT: 2>.", "returned non-zero exit status 130."):
        console = Console()
        start(console, tmp_path / "r.log")
        assert console.job_failed(failed(tmp_path / "r.log"), status) == ""
        assert "it ended with" in console.closing(), (
            "told at the end where nothing else was stopped"
        )
        console.interrupted = True
        assert console.closing() == INTERRUPTED
