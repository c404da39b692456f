"""What every rule file uses: the checked configuration, the plan of the run with its inputs, and
code digests. No rules here.
"""

import atexit
import os
import shlex
import sys
from functools import cache
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).resolve().parents[1]
if str(ROOT / "workflow" / "scripts") not in sys.path:
    sys.path.append(str(ROOT / "workflow" / "scripts"))


include: "console.smk"


from snakemake.common.configfile import load_configfile
from snakemake.exceptions import ResourceValidationError, WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from cbdata.atomic_file import FileError
from cbdata.code_digest import code_digest
from cbdata.config import NAME, ConfigError, config_file, resolve_config
from cbdata.config_words import read_words
from cbdata.export.registry import EXPORTS
from cbdata.fill.job import EXECUTOR_JOB
from cbdata.leftover_parts import remove_other_parts
from cbdata.lossmask.policies import PolicyError
from cbdata.mwcs.schedule import ScheduleError
from cbdata.paths import POLICY_REGISTRY
from cbdata.run_config import RunConfig, named_run_config, read_run_config
from cbdata.run_inputs import RunInputs
from cbdata.run_plan import RunPlan
from cbdata.sources import SourceError

# Skip-if-exists follows timestamps alone: without this, Snakemake compares small inputs by checksum
# and `touch` does nothing. (No DAG settings while rules are only listed or linted.)
if workflow.dag_settings is not None:
    workflow.dag_settings.max_checksum_file_size = 0

# Where the last module of `envmodules` brings a Python, Snakemake would run the scripts in it,
# without this environment's libraries or with others of the same name. So this environment's Python
# goes before the modules' in every command that loads them.
if (
    workflow.deployment_settings is not None
    and DeploymentMethod.ENV_MODULES in workflow.deployment_settings.deployment_method
):
    shell.prefix(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

# Says to the scripts that an executor started this job on a machine of its own.
if workflow.remote_exec:
    os.environ[EXECUTOR_JOB] = "1"


USER_ERRORS = (ConfigError, PolicyError, ScheduleError, SourceError)


def checked(function, *arguments):
    """Call a function of the library. An error in what the user gave ends the planning with its
    message, not a traceback.
    """
    try:
        return function(*arguments)
    except USER_ERRORS as error:
        raise WorkflowError(str(error))


def found_input(function, *arguments):
    """The same for input functions. Where a file is already there, Snakemake takes any Exception of
    the functions of its rule as a reason to leave the file as it is, without a word; so this is
    none.
    """
    try:
        return function(*arguments)
    except USER_ERRORS as error:
        logger.error(str(error))
        raise SystemExit(1)


def nothing_but_checked(target):
    """An input function of a target that adds no file, but ends the planning where there is no data
    set to make.
    """
    return lambda wildcards: found_input(PLAN.check_target, target)


def given_config():
    """What the user set: configuration files, then the words of `--config` as they were typed. A
    key of a later one takes the place of the whole key.
    """
    if workflow.modifier.skip_configfile:
        # Another workflow uses this one as a module, and brings the configuration.
        return dict(config)
    settings = workflow.config_settings
    files = list(settings.configfiles)
    own = None if settings.replace_workflow_config else checked(config_file)
    if own is not None:
        workflow.configfiles.append(str(own))
        files.insert(0, own)
    given = {}
    for file in files:
        given |= load_configfile(file)
    return given | read_words(settings.config_args)


# Scripts read run-time settings from the configuration, so it holds the resolved values. A job in a
# process of its own (SLURM) has them from the file that the main process wrote.
RUN_CONFIG_FILE = named_run_config(workflow.config_settings.config_args)
if workflow.is_main_process or RUN_CONFIG_FILE is None:
    resolved = checked(resolve_config, checked(given_config))
    RUN_CONFIG = checked(RunConfig.of, resolved)
    if not workflow.modifier.skip_configfile:
        workflow.config_settings.configfiles = []
        workflow.config_settings.config_args = [RUN_CONFIG.word]
else:
    resolved = checked(read_run_config, RUN_CONFIG_FILE)
config.clear()
config.update(resolved)


def save_run_config():
    """Write the file that jobs on a cluster read: before the first job, and never in a dry run."""
    try:
        RUN_CONFIG.save()
    except FileError as error:
        raise WorkflowError(str(error))


PLAN = checked(RunPlan, config)
INPUTS = checked(RunInputs, PLAN)
if workflow.is_main_process:
    checked(INPUTS.first_look)
OUT = PLAN.out
LOGS = config["log_dir"]
ENVIRONMENT = "../../environment.yml"
REGISTRY_FILE = str(POLICY_REGISTRY)


def as_given(value):
    """A value for `params:` that is, or may be, a text of the user's. In a plain text Snakemake
    would take braces for wildcards.
    """
    return lambda wildcards: value


def growing(amount):
    """A resource that a retry asks more of: ``amount`` times the number of the attempt."""
    return lambda wildcards, attempt: attempt * amount


# Rule -> a function of its rule file that raises WorkflowError where no job of this rule can
# succeed: before the first job of a run (last_good.smk), and a quick one for dry runs. Called once,
# and only if the rule has a job to run.
BEFORE_THE_FIRST_JOB = {}
IN_A_DRY_RUN = {}

# Rules whose output is a page for people that a run prints when it is done.
SHOWN_AT_THE_END = set()


def look_ahead(checks):
    """Do the checks of the rules that have a job to run; what they find is one error."""
    rules = {job.rule.name for job in workflow.dag.needrun_jobs()} & checks.keys()
    found = []
    for check in dict.fromkeys(checks[name] for name in sorted(rules)):
        try:
            check()
        except WorkflowError as error:
            found.append(str(error))
    if found:
        raise WorkflowError("\n".join(found))


def missing_here(error):
    """What a job needs is not on this machine. A real run stops with this error; a dry run shows
    its plan, whose last line then says that the run would fail.
    """
    if not workflow.dryrun:
        raise WorkflowError(str(error))
    atexit.register(print, f"This run would fail: {error}", file=sys.stderr)


look_ahead_once = cache(lambda: look_ahead(IN_A_DRY_RUN))


def told_in_a_dry_run(value):
    """A resource of this value, or with this function for one, whose evaluation looks ahead.

    A dry run calls no hook, but evaluates the resources of every job that is to run, and of no
    other. Of all errors, this one is printed without a traceback.
    """

    def resource(wildcards, attempt):
        if workflow.is_main_process and workflow.dryrun:
            try:
                look_ahead_once()
            except WorkflowError as error:
                raise ResourceValidationError(str(error))
        return value(wildcards, attempt) if callable(value) else value

    return resource


def log_file(rule, name="{name}"):
    return f"{LOGS}/{rule}/{name}.log"


def benchmark_file(rule, name="{name}"):
    return f"{LOGS}/benchmarks/{rule}/{name}.tsv"


def part_files(stage, data, part="{part}", parts="{parts}"):
    """What a job writes for its part of a data set, as the stage's own files."""
    stem = f"{OUT}/parts/{stage}/{{name}}/{part}-of-{parts}"
    return {data: f"{stem}.jsonl", "rejects": f"{stem}.rejects.jsonl", "stats": f"{stem}.json"}


def temp_parts(stage, data):
    """The outputs of a rule that makes parts: they go once they have been put together."""
    return {kind: temp(path) for kind, path in part_files(stage, data).items()}


def all_parts(stage, data):
    """The inputs of the rule that puts the parts of a data set together."""
    count = config["render_shards"]
    every = [part_files(stage, data, part, count) for part in range(count)]
    return {f"part_{kind}": [files[kind] for files in every] for kind in every[0]}


# Rules that make a whole file -> the stage whose parts are of no use then.
MAKES_WHOLE = {
    "render_traces": "render",
    "apply_lossmask": "lossmask",
    "merge_lossmasks": "lossmask",
}


def remove_parts_of_earlier_runs(jobs):
    """Remove the parts of files that are whole now which a failed run with another render_shards
    has left; those of this run are temporary outputs.
    """
    for job in jobs:
        stage = MAKES_WHOLE.get(job.rule.name)
        if stage is not None and workflow.dag.finished(job) and not workflow.touch:
            folder = f"{OUT}/parts/{stage}/{job.wildcards.name}"
            try:
                remove_other_parts(folder, config["render_shards"])
            except FileError as error:
                logger.warning(f"Parts of an earlier run stay: {error}")


wildcard_constraints:
    name=NAME,
    mode=r"ds|dr",
    part=r"\d+",
    parts=r"\d+",
