"""A failed try costs no earlier results. No rules here.

Snakemake removes a job's outputs before the job starts, and again when it fails. So before the
first job of a run every output that is to be made anew gets a second name (a hard link), and after
the last one each output that is missing gets its file back, with its times and with Snakemake's
record of how it was made: everything is as it was before the run, so that the file is out of date
for the same reasons as before. What `update()` would do instead: copy every file twice, call the
restored one up to date, and, where the job runs in a process of its own as under SLURM, remove it
after all (Snakemake 9.27).

A run that is killed itself leaves the second names (.name.kept); the next run that makes these
files takes care of them.
"""

from copy import deepcopy

from snakemake.logging import logger

from cbdata.atomic_file import FileError
from cbdata.last_good import put_back, set_aside

# Job -> records of its outputs as they were before the run; no entry for a job whose outputs an
# earlier run left unfinished.
RECORDS_BEFORE = {}

# The jobs of this run whose earlier outputs are kept.
RUN_JOBS = []

# Rules whose outputs say that the files of a run are right: an earlier verdict must not come back
# where the new one is that they are not.
VERDICTS = {"validate_files", "require_passed", "check_conservation"}

# Rules whose outputs are gone at the end of a good run.
PASSING = {"render_part", "lossmask_part"}


def set_outputs_aside(jobs):
    """Give the outputs of the jobs their second names."""
    persistence = workflow.persistence
    for job in jobs:
        interrupted = bool(workflow.async_run(persistence.incomplete(job)))
        try:
            for file in job.output:
                interrupted |= set_aside(Path(file))
        except FileError as error:
            logger.warning(f"Earlier results of {job} are lost if it fails: {error}")
        if not interrupted:
            RECORDS_BEFORE[job] = [deepcopy(persistence.metadata(file)) for file in job.output]


def came_back(file):
    """Whether an output was missing and is there again; an error is told and stops no other
    file.
    """
    try:
        return put_back(Path(file))
    except FileError as error:
        logger.warning(f"The last good version is still beside it: {error}")
        return False


def put_outputs_back(jobs):
    """Give each output that is missing its earlier file back, with Snakemake's record of it."""
    persistence = workflow.persistence
    restored = []
    for job in jobs:
        missing = [came_back(file) for file in job.output]
        if not any(missing):
            continue
        restored += [file for file, back in zip(job.output, missing) if back]
        if job not in RECORDS_BEFORE:
            # Left by an interrupted run: nobody knows any more how they were made.
            persistence.started(job)
            continue
        for file, back, record in zip(job.output, missing, RECORDS_BEFORE[job]):
            if back:
                persistence.cleanup_metadata(file)
                if record is not None:
                    persistence._write_record(persistence._get_key(file), record)
    persistence.deactivate_cache()
    if restored:
        logger.info("Put back as they were before this run:\n    " + "\n    ".join(restored))


onstart:
    RUN_JOBS.extend(
        job for job in workflow.dag.needrun_jobs() if job.rule.name not in VERDICTS | PASSING
    )
    if not workflow.touch:
        # Before anything is removed.
        look_ahead(BEFORE_THE_FIRST_JOB)
        save_run_config()
    set_outputs_aside(RUN_JOBS)


onsuccess:
    put_outputs_back(RUN_JOBS)
    remove_parts_of_earlier_runs(RUN_JOBS)
    if not workflow.touch:
        logger.info(what_came_out())
    for job in RUN_JOBS:
        if job.rule.name in SHOWN_AT_THE_END and not workflow.touch:
            logger.info(Path(job.output[0]).read_text(encoding="utf-8"))


onerror:
    put_outputs_back(RUN_JOBS)
    remove_parts_of_earlier_runs(RUN_JOBS)
    there = "" if workflow.touch or stopped_by_hand() else what_came_out(failed=True)
    if there:
        logger.info(there)
