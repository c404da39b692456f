"""What people see of a run on stderr. No rules here.

Snakemake's own handler stays, so that colours, --quiet and the complete log below .snakemake/log
are as ever; only its formatter is replaced. No logger plugin does this (docs/console.md). With
--verbose, with a plugin (--logger), and where another workflow uses this one as a module,
everything is Snakemake's own.
"""

import logging
import re

from snakemake.logging import get_event, logger
from snakemake_interface_logger_plugins.common import LogEvent

from cbdata.console import Console, FailedJob, Unheard
from cbdata.logs import SHORT_CONSOLE

# Events and messages of a run that are about Snakemake and not about the data.
UNSAID_EVENTS = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.JOB_STARTED,
}
UNSAID = re.compile(
    r"Building DAG of jobs|Using shell: |Select jobs to execute|Conda environments: ignored"
    r"|Singularity containers: ignored|Shutting down, this might|Exiting because a job execution"
)
# A script that failed: its job's error follows, with the reason.
SCRIPT_FAILED = re.compile(r"RuleException:\s+CalledProcessError in file ")
AFTER_A_STOP = re.compile(r"Complete log\(s\): |Elapsed time: ")
STOPPED = "Terminating processes on user request"
AT_THE_END = "At least one job did not complete successfully"
# Where in the Snakefile an error of the configuration was raised.
PLACES = re.compile(
    r'^(?:WorkflowError in file .*, line \d+:\n)|\n  File ".*", line \d+, in .*', re.MULTILINE
)


class ConsoleFormatter(logging.Formatter):
    """Snakemake's records in the words of ``cbdata.console``; an empty text is not printed."""

    def __init__(self, otherwise, dryrun):
        super().__init__()
        self.otherwise, self.dryrun, self.console, self.statuses = otherwise, dryrun, Console(), {}

    def format(self, record):
        event = get_event(record)
        if event == LogEvent.ERROR:
            return self.error(record)
        if self.dryrun:
            return self.otherwise.format(record)
        if event == LogEvent.JOB_INFO:
            return self.job_info(record)
        if event == LogEvent.JOB_FINISHED:
            self.console.job_finished(record.job_id)
            return ""
        if event == LogEvent.JOB_ERROR:
            return self.job_error(record)
        if event == LogEvent.RUN_INFO:
            jobs = ", ".join(f"{rule} {count}" for rule, count in record.stats.items())
            return f"Jobs: {jobs}"
        if event in UNSAID_EVENTS or UNSAID.match(record.getMessage()):
            return ""
        if self.console.interrupted and AFTER_A_STOP.match(record.getMessage()):
            return ""
        if record.getMessage().startswith(STOPPED):
            self.console.interrupted = True
            return ""
        return self.otherwise.format(record)

    def job_info(self, record):
        message = record.rule_msg or ", ".join(record.output)
        return self.console.job_started(record.jobid, message, record.log)

    def job_error(self, record):
        job = FailedJob(
            number=record.jobid,
            name=record.rule_name,
            outputs=record.output,
            logs=record.log,
            said=record.rule_msg or "",
            more=record.aux,
        )
        return self.console.job_failed(job, self.statuses.pop(record.thread, ""))

    def error(self, record):
        text = record.getMessage()
        if AT_THE_END in text:
            return self.console.closing()
        if SCRIPT_FAILED.match(text):
            self.statuses[record.thread] = text
            return ""
        return PLACES.sub("", text)


def speak_to_people():
    """Replace the formatter of Snakemake's handler for stderr, and let the run go on where nobody
    reads stderr any more. Of a dry run, whose jobs and reasons are what was asked for, only errors
    are told in another way.
    """
    settings = workflow.output_settings
    for handler in logger.handlers:
        if settings is None or handler.name != "DefaultStreamHandler":
            continue
        handler.stream = Unheard(handler.stream)
        if not settings.verbose:
            handler.setFormatter(ConsoleFormatter(handler.formatter, settings.dryrun))
            os.environ[SHORT_CONSOLE] = "1"


def stopped_by_hand():
    """Whether people stopped the run, as far as its console knows."""
    formatters = [handler.formatter for handler in logger.handlers]
    consoles = [each.console for each in formatters if isinstance(each, ConsoleFormatter)]
    return any(console.interrupted for console in consoles)


if not workflow.is_main_process:
    # Here stderr is the job's log file.
    os.environ.pop(SHORT_CONSOLE, None)
elif not workflow.modifier.skip_configfile:
    speak_to_people()
