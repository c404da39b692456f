"""Fill: skeleton traces to DS and DR traces.

Inputs: the skeleton file of the configuration, the tool schema, the model (in cache_dir or a local
folder). Outputs: fill/shards/{stem}/*.jsonl (one job and GPU each), then traces/{stem}_ds.jsonl and
traces/{stem}_dr.jsonl with rejects and stats. What a shard has generated survives its job in
fill/progress/{stem}, which no rule declares: a job that is run again generates only what is
missing, with another fill_shards as well.
"""

from cbdata.fill.backends.registry import find_backend
from cbdata.fill.settings import FILL_VERSION, FillSettings, RuntimeSettings, semantic_params

# One set of skeletons a run.
(SKELETONS,) = PLAN.skeleton_sets
FILL_SKELETONS = SKELETONS.path
FILL_STEM = SKELETONS.stem
FILL_MODES = list(SKELETONS.modes)
FILL_BACKEND = checked(find_backend, FillSettings.of(config).backend_name)
FILL_NEEDS = FILL_BACKEND.needs(RuntimeSettings.of(config))


def check_fill(make_grammar=True):
    """Look at the model, its tokenizer and the engine's options as a job would, before one waits
    for a GPU.
    """
    from cbdata.fill.models import ModelMissing
    from cbdata.fill.planning import check_plan

    planned = None
    try:
        planned = checked(
            check_plan,
            FillSettings.of(config),
            RuntimeSettings.of(config),
            FILL_BACKEND,
            checked(INPUTS.resource, "tool_schema"),
            make_grammar,
        )
    except ModelMissing as error:
        missing_here(error)
    for line in planned.lines if planned else ():
        logger.info(line)


def check_fill_quickly():
    """The same without what takes seconds."""
    check_fill(make_grammar=False)


BEFORE_THE_FIRST_JOB["fill_shard"] = check_fill
IN_A_DRY_RUN["fill_shard"] = check_fill_quickly


rule fill_shard:
    """Complete the skeletons of one shard, on a GPU of its own."""
    input:
        skeletons=FILL_SKELETONS,
        tool_schema=lambda wildcards: found_input(INPUTS.resource, "tool_schema"),
        model=checked(INPUTS.model_files),
        template=checked(INPUTS.template_files),
    output:
        rows=f"{OUT}/fill/shards/{FILL_STEM}/{{shard}}-of-{{shards}}.jsonl",
    log:
        log_file("fill_shard", f"{FILL_STEM}/{{shard}}-of-{{shards}}"),
    benchmark:
        benchmark_file("fill_shard", f"{FILL_STEM}/{{shard}}-of-{{shards}}")
    wildcard_constraints:
        shard=r"\d+",
        shards=r"\d+",
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    threads: FILL_NEEDS.cpus
    resources:
        gpu=FILL_NEEDS.gpus,
        # All of them on one node: sbatch --gpus=2 alone is content with one GPU each on two nodes,
        # where the second is out of reach.
        nodes=told_in_a_dry_run(1),
        mem_mb=growing(FILL_NEEDS.memory_mb),
        runtime=growing(240),
    params:
        settings=semantic_params(config),
        progress=f"{OUT}/fill/progress/{FILL_STEM}",
        version=FILL_VERSION,
    message:
        "Complete the skeletons of shard {wildcards.shard} of {wildcards.shards} with the model "
        "({resources.gpu} GPU, {resources.mem_mb} MB, {resources.runtime} min)."
    script:
        "../scripts/fill_shard.py"


rule merge_fill:
    input:
        skeletons=FILL_SKELETONS,
        shards=[
            f"{OUT}/fill/shards/{FILL_STEM}/{shard}-of-{config['fill_shards']}.jsonl"
            for shard in range(config["fill_shards"])
        ],
    output:
        **{
            f"{mode}_{kind}": path
            for mode in FILL_MODES
            for kind, path in [
                ("traces", f"{OUT}/traces/{FILL_STEM}_{mode}.jsonl"),
                *PLAN.side_files("fill", f"{FILL_STEM}_{mode}").items(),
            ]
        },
    log:
        log_file("merge_fill", FILL_STEM),
    benchmark:
        benchmark_file("merge_fill", FILL_STEM)
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        stem=FILL_STEM,
        modes=FILL_MODES,
        limit=config["limit"],
        code=code_digest("merge_fill"),
    message:
        "Merge the completions of all shards and link the DS and DR twins."
    script:
        "../scripts/merge_fill.py"
