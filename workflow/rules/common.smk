"""What every rule file uses: the checked configuration, the file names of the output structure, and
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
from cbdata.config import ConfigError, find_file, is_path, resolve_config, trace_sources
from cbdata.config import expand as expand_path

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
    """Call a configuration function. Its errors end the run with their message, not a traceback."""
    try:
        return function(*arguments)
    except ConfigError as error:
        raise WorkflowError(str(error))


# Scripts read run-time settings from the configuration, so it holds the resolved values.
config.update(checked(resolve_config, dict(config)))

OUT = config["output_base"]
LOGS = config["log_dir"]
ENVIRONMENT = "../../environment.yml"
TRACE_SOURCES = checked(trace_sources, config, OUT)
SKELETONS = Path(config["skeleton_traces"]).name.removesuffix(".jsonl")
FILL_STEM = SKELETONS.removesuffix("_skeletons")
FILL_MODES = ["ds", "dr"] if config["mode"] == "both" else [config["mode"]]


def resource(key):
    """The file that a configuration key names, in the working directory or in the workflow."""
    return checked(find_file, key, config[key], ROOT)


def traces(name):
    """Path of a trace file by data set name."""
    return TRACE_SOURCES.get(name, f"{OUT}/traces/{name}.jsonl")


def skeleton_file():
    """The trace file that the fill stage completes."""
    value = config["skeleton_traces"]
    return expand_path(value) if is_path(value) else traces(SKELETONS)


def stage_files(stage, name="{name}", below=""):
    """Keyword outputs ``rejects`` and ``stats`` that every stage writes beside its data."""
    return {
        "rejects": f"{OUT}/rejects/{stage}/{below}{name}.jsonl",
        "stats": f"{OUT}/stats/{stage}/{below}{name}.json",
    }


def growing(amount):
    """A resource that a retry asks more of: ``amount`` times the number of the attempt."""
    return lambda wildcards, attempt: attempt * amount


def log_file(rule, name="{name}"):
    return f"{LOGS}/{rule}/{name}.log"


def benchmark_file(rule, name="{name}"):
    return f"{LOGS}/benchmarks/{rule}/{name}.tsv"


def has_b4():
    """Whether Fujitsu B4 takes part: loaded here, or its skeletons or completions are sources."""
    return (
        bool(config["fujitsu_b4_path"])
        or config["skip_load"]
        or config["skip_fill"]
        or is_path(config["skeleton_traces"])
    )


def has_agentdojo():
    return bool(config["agentdojo_path"]) or (
        config["skip_load"] and Path(f"{OUT}/traces/agentdojo_complete.jsonl").exists()
    )


def filled_names():
    return [f"{FILL_STEM}_{mode}" for mode in FILL_MODES] if has_b4() else []


def dataset_names():
    """The data sets that ``all`` and ``lossmask`` render and mask."""
    if TRACE_SOURCES:
        return list(TRACE_SOURCES)
    return filled_names() + (["agentdojo_complete"] if has_agentdojo() else [])


wildcard_constraints:
    name=r"[^/]+",
    mode=r"ds|dr",
