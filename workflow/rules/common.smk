"""What every rule file uses: the checked configuration, the plan of the run with its inputs, and
code digests. No rules here.
"""

import shlex
import sys
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).resolve().parents[1]
if str(ROOT / "workflow" / "scripts") not in sys.path:
    sys.path.append(str(ROOT / "workflow" / "scripts"))

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from cbdata.code_digest import code_digest
from cbdata.config import ConfigError, resolve_config
from cbdata.export.registry import EXPORTS
from cbdata.lossmask.policies import PolicyError
from cbdata.mwcs.schedule import ScheduleError
from cbdata.paths import POLICY_REGISTRY
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


def checked(function, *arguments):
    """Call a function of the library. An error in what the user gave ends the planning with its
    message, not a traceback.
    """
    try:
        return function(*arguments)
    except (ConfigError, PolicyError, ScheduleError, SourceError) as error:
        raise WorkflowError(str(error))


# Scripts read run-time settings from the configuration, so it holds the resolved values.
config.update(checked(resolve_config, dict(config)))

PLAN = checked(RunPlan, config)
INPUTS = checked(RunInputs, PLAN)
if workflow.is_main_process:
    checked(INPUTS.first_look)
OUT = PLAN.out
LOGS = config["log_dir"]
ENVIRONMENT = "../../environment.yml"
REGISTRY_FILE = str(POLICY_REGISTRY)


def growing(amount):
    """A resource that a retry asks more of: ``amount`` times the number of the attempt."""
    return lambda wildcards, attempt: attempt * amount


def log_file(rule, name="{name}"):
    return f"{LOGS}/{rule}/{name}.log"


def benchmark_file(rule, name="{name}"):
    return f"{LOGS}/benchmarks/{rule}/{name}.tsv"


wildcard_constraints:
    name=r"[^/]+",
    mode=r"ds|dr",
