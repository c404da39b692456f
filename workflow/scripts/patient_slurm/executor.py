"""An executor on top of the SLURM plugin's own.

What plugin 2.8.0 does, and what this changes:

- A look at the jobs that gets no answer returns nothing, and Snakemake takes jobs that are neither
  reported nor returned off its list: it never hears of them again, waits for ever, and Ctrl-C
  cancels none of them. Here they stay on the list.
- Where ``scontrol`` does not say MinJobAge, the plugin goes over to ``sacct``, which a cluster
  without accounting does not answer. Here the last known value counts.
- ``sacct`` says "CANCELLED by 1000" of a job, which the plugin takes for a running one. Here it is
  a cancelled one.
- Jobs that SLURM has forgotten (``squeue`` shows them ``MinJobAge`` seconds after their end) are
  waited for. Here they count as failed, and are tried again, once nobody knows them any more; and
  where there is no accounting, jobs are looked at often enough that none is forgotten unseen.
- Every refused ``sbatch`` is a failed try. Here refusals that pass are waited out, and those that
  cannot pass end the run with the site's own words.
- Each try of a job asks for more memory, and one that asks for more than any node has is refused.
  Here it asks for as much as the try before.
- For a job over several nodes ``sbatch`` gets ``--gpus``, which may come unevenly. Here it gets
  ``--gpus-per-node``.
- A folder for logs with ``%`` or a backslash in its name makes every job fail without a word. Here
  the run says so at once.
- Paths with ``'``, ``$`` or a backtick do not reach the job as they are. Here they do
  (``patient_slurm.shell_words``).
- Ctrl-C cancels the jobs on the list, which is empty while they are being looked at, and submits
  what still waits to be submitted. Here it cancels by the name that all jobs of the run share.
"""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import snakemake_executor_plugin_slurm as plugin
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from patient_slurm.even_gpus import even_gpus
from patient_slurm.log_folder import log_folder_problem
from patient_slurm.refusals import Refusal, own_words, refusal_of
from patient_slurm.shell_words import guarded

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 120.0
"""Seconds between two tries of a refused submission: doubled each time, up to the second value."""

TOLD_AGAIN_S = 1800.0
"""Seconds after which a wait for submissions is told again: it may be one that never ends."""

FORGOTTEN_LOOKS, FORGOTTEN_S = 3, 120.0
"""A job counts as forgotten after so many looks in a row, and so many seconds, in which SLURM
answered and did not name it. A job that was just submitted may be missing for a moment.
"""

SHORTEST_LOOK_S = 2.0
"""Seconds between two looks at least, however soon SLURM forgets."""

CANCEL_S = 60.0
"""How long Ctrl-C tries to reach a controller that does not answer."""

_min_job_age: int | None = None
_last_answer: dict[str, str] | None = None


def get_min_job_age() -> int | None:
    """MinJobAge in seconds; the last known value where the controller does not answer now."""
    global _min_job_age
    _min_job_age = _plugin_min_job_age() or _min_job_age
    return _min_job_age


async def query_job_status(command: str, logger: Any) -> tuple[Any, Any]:
    """The plugin's question, with states that name who cancelled a job put right; keeps the answer
    for the executor.
    """
    global _last_answer
    states, seconds = await _plugin_query(command, logger)
    if states is None and command.startswith("sacct"):
        # Without accounting it never answers; squeue does, as long as it remembers the job.
        words = shlex.split(command)
        squeue = plugin.query_job_status_squeue(words[words.index("--name") + 1])
        states, seconds = await _plugin_query(squeue, logger)
    if states is not None:
        states = {job: state.partition(" by ")[0] for job, state in states.items()}
    _last_answer = states
    return states, seconds


def set_gres_string(job: Any) -> str:
    """The plugin's options for GPUs, as many on each node."""
    return even_gpus(_plugin_gres_string(job), int(job.resources.get("nodes") or 1))


_plugin_gres_string = plugin.set_gres_string
_plugin_min_job_age = plugin.get_min_job_age
_plugin_query = plugin.query_job_status


class Executor(plugin.Executor):  # type: ignore[misc]
    """The plugin's executor, with the changes that the module names."""

    def __init__(self, workflow: Any, logger: Any) -> None:
        # Before anything else: the thread that looks at jobs begins in the plugin's own.
        self._stopping = threading.Event()
        self._attempt = threading.local()
        self._settled: set[int] = set()
        self._away_since: float | None = None
        self._waits_since: float | None = None
        self._told_of_a_wait = 0.0
        self._missing: dict[str, tuple[int, float]] = {}
        self._live: dict[str, SubmittedJobInfo] = {}
        self._registered: set[str] = set()
        self._accounting: bool | None = None
        self._memory: dict[int, int] = {}
        if problem := log_folder_problem(plugin._select_logdir(workflow)):
            raise WorkflowError(problem)
        super().__init__(workflow, logger)

    # ---- looking at jobs

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that ended, and return all others, whatever SLURM answered."""
        global _last_answer
        _last_answer = None
        self._settled.clear()
        returned = set()
        forgotten = []
        async for job in super().check_active_jobs(active_jobs):
            returned.add(id(job))
            if self._is_forgotten(job):
                forgotten.append(job)
            else:
                yield job
        for job in active_jobs:
            if id(job) not in returned and id(job) not in self._settled:
                yield job
        for job in forgotten:
            if (still_known := self._last_state(job)) is not None:
                self._missing.pop(job.external_jobid, None)
                if still_known:
                    yield job
        if active_jobs:
            self._tell_about_the_controller(answered=_last_answer is not None)

    def _tell_about_the_controller(self, answered: bool) -> None:
        if not answered and self._away_since is None:
            self._away_since = time.monotonic()
            self.logger.warning(
                "SLURM does not answer. Its jobs work on, and this run waits for it."
            )
        elif answered and self._away_since is not None:
            seconds = time.monotonic() - self._away_since
            self._away_since = None
            self.logger.warning(f"SLURM answers again, after {seconds:.0f} s.")

    def _is_forgotten(self, job: SubmittedJobInfo) -> bool:
        name = job.external_jobid
        if _last_answer is None:
            return False
        if any(known in _last_answer for known in plugin._status_lookup_ids(name)):
            self._missing.pop(name, None)
            return False
        looks, since = self._missing.get(name, (0, time.monotonic()))
        self._missing[name] = (looks + 1, since)
        return looks + 1 >= FORGOTTEN_LOOKS and time.monotonic() - since >= FORGOTTEN_S

    def _last_state(self, job: SubmittedJobInfo) -> bool | None:
        """Ask for one job by its id, and report it if it ended.

        Returns:
            Whether it is still in the queue; None if it was reported.
        """
        name = job.external_jobid
        for command in (
            f"sacct -X -n -P -j {name} -o State",
            f"squeue --noheader --states=all --format=%T --jobs={name}",
        ):
            said = _output(command)
            state = said.split("\n")[0].partition(" by ")[0] if said else ""
            if state == "COMPLETED":
                self.report_job_success(job)
                return None
            if state in {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED"}:
                return True
            if state:
                break
        if _output("scontrol ping") is None:
            return True
        self._missing.pop(name, None)
        log = job.aux.get("slurm_logfile")
        self.report_job_error(
            job,
            msg=f"SLURM knows job {name} no longer ({state or 'not how it ended'}), so it counts"
            " as failed. ",
            aux_logs=[str(log)] if log else [],
        )
        return None

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Remember the job's id, then as the plugin does."""
        self._registered.add(str(job_info.external_jobid))
        self._live[str(job_info.external_jobid)] = job_info
        super().report_job_submission(job_info, register_job=register_job)

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        """Note that the job is settled, then as the plugin does."""
        self._settled.add(id(job_info))
        self._live.pop(str(job_info.external_jobid), None)
        super().report_job_success(job_info)

    def report_job_error(
        self, job_info: SubmittedJobInfo, msg: str | None = None, **kwargs: Any
    ) -> None:
        """Note that the job is settled, then as the plugin does."""
        self._settled.add(id(job_info))
        self._live.pop(str(job_info.external_jobid), None)
        super().report_job_error(job_info, msg=msg, **kwargs)

    async def sleep(self) -> None:
        """Wait until the next look; a run that ends is not waited for."""
        end = time.monotonic() + self._seconds_to_the_next_look()
        if self._away_since is not None:
            end = min(end, time.monotonic() + LONGEST_WAIT_S / 4)
        while self.wait and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))

    def _seconds_to_the_next_look(self) -> float:
        """What the plugin wants, or sooner where ``squeue`` alone knows how a job ended and would
        forget it before.
        """
        seconds: float = self.next_seconds_between_status_checks
        age = _min_job_age or get_min_job_age()
        if age is None or age >= 1.5 * seconds:
            return seconds
        if self._accounting is None:
            self._accounting = _output("sacct -X -n -o JobID") is not None
        return seconds if self._accounting else min(seconds, max(SHORTEST_LOOK_S, age / 2))

    # ---- submitting

    def get_python_executable(self) -> str:
        """As the plugin's, as one word for a shell."""
        return shlex.quote(super().get_python_executable())

    def format_job_exec(self, job: Any) -> str:
        """As the plugin's, guarded for the double quotes that it will stand in."""
        command = super().format_job_exec(job)
        as_script = self.workflow.executor_settings.pass_command_as_script
        return command if as_script else guarded(command)

    def run_job(self, job: Any) -> None:
        """Submit a job. A refusal that passes is waited out; one that cannot pass ends the run."""
        wait, uncertain, message = FIRST_WAIT_S, False, ""
        while not self._stopping.is_set():
            if uncertain:
                taken = self._taken_after_all(job)
                if taken:
                    self._was_taken(job)
                    return
                if taken is None:
                    self._tell_about_a_refusal(message, wait)
                    self._stopping.wait(wait)
                    wait = min(2 * wait, LONGEST_WAIT_S)
                    continue
                uncertain = False
            self._attempt.refused = None
            self._attempt.listens = True
            try:
                super().run_job(job)
            finally:
                self._attempt.listens = False
            if self._attempt.refused is None:
                self._was_taken(job)
                return
            job_info, message = self._attempt.refused
            refusal = refusal_of(own_words(message))
            if refusal is Refusal.OF_THIS_JOB and self._asks_for_less(job, message):
                continue
            if refusal is Refusal.PERMANENT:
                self._end_the_run(message)
            if refusal in {Refusal.PERMANENT, Refusal.OF_THIS_JOB}:
                super()._report_job_error_threadsafe(job_info, message)
                return
            self._tell_about_a_refusal(message, wait)
            self._stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)
            uncertain = refusal is Refusal.UNCERTAIN

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        if getattr(self._attempt, "listens", False):
            self._attempt.refused = (job_info, msg)
        else:
            super()._report_job_error_threadsafe(job_info, msg)

    def _asks_for_less(self, job: Any, message: str) -> bool:
        """Have a job ask for as much memory as its last try, if that was taken and this one asks
        for more: each try asks for more, in the end for more than any node of the site has.
        """
        had, asked = self._memory.get(job.jobid, 0), job.resources.get("mem_mb") or 0
        if not 0 < had < asked:
            return False
        job.resources.mem_mb = had
        if job.resources.get("mem_mb") != had:  # those of a group are made anew each time
            return False
        self.logger.warning(
            f"SLURM refuses another try of {job.name} with {asked} MB of memory, so it asks for"
            f" {had} MB as before: {own_words(message)}"
        )
        return True

    def _tell_about_a_refusal(self, message: str, wait: float) -> None:
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = self._told_of_a_wait = now
            self.logger.warning(
                "SLURM takes no further job at the moment, so this run waits and tries again every"
                f" {wait:.0f} to {LONGEST_WAIT_S:.0f} s: {own_words(message)}"
            )
        elif now - self._told_of_a_wait >= TOLD_AGAIN_S:
            self._told_of_a_wait = now
            self.logger.warning(
                f"SLURM has taken no further job for {(now - self._waits_since) / 60:.0f} min, and"
                f" this run still waits: {own_words(message)}"
            )

    def _was_taken(self, job: Any) -> None:
        self._submissions_go_on()
        self._memory[job.jobid] = job.resources.get("mem_mb") or 0

    def _submissions_go_on(self) -> None:
        if self._waits_since is not None:
            seconds = time.monotonic() - self._waits_since
            self._waits_since = None
            self.logger.warning(f"SLURM takes jobs again, after {seconds:.0f} s.")

    def _taken_after_all(self, job: Any) -> bool | None:
        """Register the job of a submission whose answer got lost; None where SLURM does not say
        whether there is one.

        The plugin names every job of a run alike and writes rule and wildcards into the comment, of
        which a run has one job at a time.
        """
        words = plugin.get_job_wildcards(job)
        comment = f"rule_{job.name}" + (f"_wildcards_{words}" if words else "")
        listing = _output(f"squeue --noheader --states=all --name={self.run_uuid} --format='%i|%k'")
        if listing is None:
            return None
        for line in listing.splitlines():
            name, _, said = line.partition("|")
            if said == comment and name not in self._registered:
                self._registered.add(name)
                self.logger.warning(f"SLURM had taken the job after all, as {name}.")
                log = self.slurm_logdir / f"rule_{job.name}" / words / f"{name}.log"
                self._report_job_submission_threadsafe(
                    SubmittedJobInfo(job, external_jobid=name, aux={"slurm_logfile": log})
                )
                return True
        return False

    def _end_the_run(self, message: str) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            self.workflow.scheduler.executor_error_callback(
                WorkflowError(
                    f"SLURM will take no job of this run: {own_words(message)}\n"
                    "The account, partition and QOS stand in the site's profile"
                    " (docs/slurm.md); what was running is cancelled and resumes with the next run."
                )
            )

    # ---- ending

    def shutdown(self) -> None:
        """End the executor; after a refusal that cannot pass, its jobs are cancelled first."""
        if self._stopping.is_set():
            self._cancel_run()
        super().shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every job of this run, those too that are being looked at or submitted now."""
        self._stopping.set()

    def _cancel_run(self) -> None:
        """Nothing is submitted any more, then all is cancelled; a controller that does not answer
        is asked again for CANCEL_S seconds.
        """
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        clusters = ["--clusters=all"] if self._submitted_job_clusters else []
        command = ["scancel", *clusters, f"--name={self.run_uuid}"]
        end = time.monotonic() + CANCEL_S
        while (said := _refused(command)) and time.monotonic() < end:
            self.logger.warning(f"SLURM does not cancel the jobs, trying again: {said}")
            time.sleep(min(FIRST_WAIT_S, max(0.0, end - time.monotonic())))
        if said:
            live = ", ".join(sorted(self._live)) or "those that were just submitted"
            self.logger.error(
                f"Jobs of this run live on, since SLURM does not answer ({said}): {live}. Cancel"
                " them later: "
                f"{shlex.join(command)}"
            )


def _output(command: str) -> str | None:
    """What a command prints; None if it fails or takes more than a minute."""
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _refused(command: list[str]) -> str | None:
    """Why a command failed; None if it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")


def install() -> None:
    """Put the executor in the place of the plugin's own, for this process."""
    plugin.get_min_job_age = get_min_job_age
    plugin.set_gres_string = set_gres_string
    plugin.query_job_status = query_job_status
    ExecutorPluginRegistry().plugins["slurm"].executor = Executor
