"""What every rule file uses: the checked configuration, the plan of the run with its inputs, and
code digests. No rules here.
"""

import shlex
import sys
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).resolve().parents[1]
if str(ROOT / "workflow" / "scripts") not in sys.path:
    sys.path.append(str(ROOT / "workflow" / "scripts"))

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from cbdata.atomic_file import FileError
from cbdata.code_digest import code_digest
from cbdata.config import NAME, ConfigError, config_file, resolve_config
from cbdata.config_words import read_words
from cbdata.export.registry import EXPORTS
from cbdata.lossmask.policies import PolicyError
from cbdata.mwcs.schedule import ScheduleError
from cbdata.paths import POLICY_REGISTRY, TOOL_SCHEMAS
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


def log_file(rule, name="{name}"):
    return f"{LOGS}/{rule}/{name}.log"


def benchmark_file(rule, name="{name}"):
    return f"{LOGS}/benchmarks/{rule}/{name}.tsv"


wildcard_constraints:
    name=NAME,
    mode=r"ds|dr",
