"""Fill: skeleton traces to DS and DR traces.

Inputs: the skeleton files of the configuration, the tool schema, the model (in cache_dir or a local
folder). Outputs: fill/shards/{stem}/*.jsonl of every set (one job and GPU for each shard, which
loads the model once for all sets), then traces/{stem}_ds.jsonl and traces/{stem}_dr.jsonl with
rejects and stats. What a shard has generated survives its job in fill/progress/{stem}, which no
rule declares: a job that is run again generates only what is missing, with another fill_shards or
further sets as well.
"""

import re

from cbdata.fill.backends.registry import find_backend
from cbdata.fill.job_shape import job_needs, place_problem
from cbdata.fill.settings import FILL_VERSION, FillSettings, RuntimeSettings, semantic_params

FILL_SETS = {part.stem: part for part in PLAN.fill_sets}
FILL_MODES = list(PLAN.fill_sets[0].modes)
# What the logs of a job are called, which is one for all sets.
FILL_NAME = next(iter(FILL_SETS)) + f"_and_{len(FILL_SETS) - 1}_more" * (len(FILL_SETS) > 1)
FILL_BACKEND = checked(find_backend, FillSettings.of(config).backend_name)
FILL_NEEDS = job_needs(FILL_BACKEND, RuntimeSettings.of(config))


def check_fill(make_grammar=True):
    """Look at the model, its tokenizer and the engine's options as a job would, before one waits
    for a GPU.
    """
    from cbdata.fill.models import ModelMissing
    from cbdata.fill.planning import check_plan
    from cbdata.fill.prompt_sizes import GivenSkeletons

    planned = None
    try:
        planned = checked(
            check_plan,
            FillSettings.of(config),
            RuntimeSettings.of(config),
            FILL_BACKEND,
            checked(INPUTS.resource, "tool_schema"),
            make_grammar,
            GivenSkeletons(
                [part.path for part in FILL_SETS.values()], checked(INPUTS.tool_schema_dirs)
            ),
        )
    except ModelMissing as error:
        missing_here(error)
    for line in planned.lines if planned else ():
        logger.info(line)


def submits_jobs():
    """Whether this run, or the one that a dry run plans, submits its jobs to a scheduler."""
    if workflow.dryrun:
        # All that Snakemake 9 tells a dry run of the executor that was asked for: jobs that are
        # submitted are started by threads.
        return workflow.execution_settings.use_threads
    return workflow.non_local_exec


def check_fill_quickly(settings=config):
    """The same without what takes seconds."""
    check_place(settings)
    check_fill(make_grammar=False)


def check_fill_before_the_run(settings=config):
    """All of it."""
    check_place(settings)
    check_fill()


def check_place(settings):
    """Raise WorkflowError where jobs of these settings cannot be started from here."""
    runtime = RuntimeSettings.of(settings)
    if problem := place_problem(FILL_BACKEND, runtime, submits_jobs(), os.environ):
        raise WorkflowError(problem)


BEFORE_THE_FIRST_JOB["fill_shard"] = check_fill_before_the_run
IN_A_DRY_RUN["fill_shard"] = check_fill_quickly


rule fill_shard:
    """Complete the skeletons of one shard, on GPUs of its own."""
    input:
        skeletons=[part.path for part in FILL_SETS.values()],
        tool_schema=lambda wildcards: found_input(INPUTS.resource, "tool_schema"),
        model=checked(INPUTS.model_files),
        template=checked(INPUTS.template_files),
    output:
        rows=[f"{OUT}/fill/shards/{stem}/{{shard}}-of-{{shards}}.jsonl" for stem in FILL_SETS],
    log:
        log_file("fill_shard", f"{FILL_NAME}/{{shard}}-of-{{shards}}"),
    benchmark:
        benchmark_file("fill_shard", f"{FILL_NAME}/{{shard}}-of-{{shards}}")
    wildcard_constraints:
        shard=r"\d+",
        shards=r"\d+",
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    threads: FILL_NEEDS.cpus
    resources:
        **FILL_NEEDS.further_resources,
        gpu=FILL_NEEDS.gpus,
        # As many on each node: sbatch --gpus=2 alone is content with one GPU each on two nodes,
        # where the second is out of reach.
        nodes=told_in_a_dry_run(FILL_NEEDS.nodes),
        mem_mb=growing(FILL_NEEDS.memory_mb),
        runtime=growing(240),
    params:
        # Each a param of its own, so that a run of one set has the params that it always had.
        *[f"{OUT}/fill/progress/{stem}" for stem in FILL_SETS],
        settings=semantic_params(config),
        version=FILL_VERSION,
    message:
        "Complete the skeletons of shard {wildcards.shard} of {wildcards.shards} with the model "
        "({resources.gpu} GPU, {resources.mem_mb} MB, {resources.runtime} min)."
    script:
        "../scripts/fill_shard.py"


rule merge_fill:
    input:
        skeletons=lambda wildcards: FILL_SETS[wildcards.stem].path,
        shards=[
            f"{OUT}/fill/shards/{{stem}}/{shard}-of-{config['fill_shards']}.jsonl"
            for shard in range(config["fill_shards"])
        ],
    output:
        **{
            f"{mode}_{kind}": path
            for mode in FILL_MODES
            for kind, path in [
                ("traces", f"{OUT}/traces/{{stem}}_{mode}.jsonl"),
                *PLAN.side_files("fill", f"{{stem}}_{mode}").items(),
            ]
        },
    log:
        log_file("merge_fill", "{stem}"),
    benchmark:
        benchmark_file("merge_fill", "{stem}")
    wildcard_constraints:
        stem="|".join(map(re.escape, FILL_SETS)),
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        stem=lambda wildcards: wildcards.stem,
        modes=FILL_MODES,
        limit=config["limit"],
        code=code_digest("merge_fill"),
    message:
        "Merge the completions of all shards of {wildcards.stem} and link the DS and DR twins."
    script:
        "../scripts/merge_fill.py"
