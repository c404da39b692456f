"""ETL_B, second half: render_v1 to lossmask_v1, and everything that starts from a curriculum.

Inputs: renders/{name}.jsonl with the traces they were made of. Outputs: lossmasks/{name}.jsonl; by
request lossmasks/by_policy/{policy}/{name}.jsonl and lossmasks/by_step/{step}/{name}.jsonl; mwcs/.
Renders are never made again for these.
"""


def known_policy(value):
    """A policy of the configuration, looked up before any job runs."""
    return checked(INPUTS.policy, value)


def lossmask_inputs(wildcards):
    """What the masks of a data set are made from."""
    found_input(INPUTS.policy, wildcards.get("policy"))
    return found_input(INPUTS.lossmask_files, wildcards.name)


wildcard_constraints:
    policy=NAME,
    step=r"0|[1-9]\d*",
    schedule=NAME,
    last_step=r"0|[1-9]\d*",


LOSSMASK_PARAMS = {
    "policy": known_policy(config["policy"]),
    "mwcs_step": config["mwcs_step"],
    "allow_skeleton": config["allow_skeleton"],
    "skeleton_policy": known_policy(config["skeleton_policy"]),
    "thinking_weight": config["thinking_weight"],
    "pooling_policy": known_policy(config["pooling_policy"]),
}


rule apply_lossmask:
    input:
        unpack(lossmask_inputs),
    output:
        **PLAN.side_files("lossmask"),
        lossmasks=f"{OUT}/lossmasks/{{name}}.jsonl",
    log:
        log_file("apply_lossmask"),
    benchmark:
        benchmark_file("apply_lossmask")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        **LOSSMASK_PARAMS,
        code=code_digest("apply_lossmask"),
    message:
        "Apply the loss mask policies to {wildcards.name}."
    script:
        "../scripts/apply_lossmask.py"


use rule apply_lossmask as lossmask_by_step with:
    output:
        **PLAN.side_files("lossmask", below="by_step/{step}/"),
        lossmasks=f"{OUT}/lossmasks/by_step/{{step}}/{{name}}.jsonl",
    log:
        log_file("lossmask_by_step", "{step}/{name}"),
    benchmark:
        benchmark_file("lossmask_by_step", "{step}/{name}")
    params:
        **LOSSMASK_PARAMS
        | {"mwcs_step": lambda wildcards: found_input(INPUTS.step, wildcards.step)},
        code=code_digest("apply_lossmask"),
    message:
        "Apply the loss mask policies to {wildcards.name} as of step {wildcards.step}."


if config["render_shards"] > 1:

    use rule apply_lossmask as lossmask_part with:
        output:
            **temp_parts("lossmask", "lossmasks"),
        log:
            log_file("lossmask_part", "{name}/{part}-of-{parts}"),
        benchmark:
            benchmark_file("lossmask_part", "{name}/{part}-of-{parts}")
        message:
            "Apply the loss mask policies to {wildcards.name}, "
            "part {wildcards.part} of {wildcards.parts}."

    rule merge_lossmasks:
        """The parts of a loss mask file in their order: what one job would have written."""
        input:
            unpack(lossmask_inputs),
            **all_parts("lossmask", "lossmasks"),
        output:
            **PLAN.side_files("lossmask"),
            lossmasks=f"{OUT}/lossmasks/{{name}}.jsonl",
        log:
            log_file("merge_lossmasks"),
        benchmark:
            benchmark_file("merge_lossmasks")
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        resources:
            mem_mb=growing(1000),
            runtime=growing(30),
        params:
            **LOSSMASK_PARAMS,
            code=code_digest("merge_lossmasks"),
        message:
            "Put the parts of the loss masks of {wildcards.name} together."
        script:
            "../scripts/merge_lossmasks.py"

    ruleorder: merge_lossmasks > apply_lossmask


rule apply_policies:
    input:
        unpack(lossmask_inputs),
    output:
        lossmasks=expand(
            f"{OUT}/lossmasks/by_policy/{{policy}}/{{{{name}}}}.jsonl",
            policy=INPUTS.policies.ids,
        ),
        rejects=expand(
            PLAN.side_files("lossmask", "{{name}}", "by_policy/{policy}/")["rejects"],
            policy=INPUTS.policies.ids,
        ),
        stats=expand(
            PLAN.side_files("lossmask", "{{name}}", "by_policy/{policy}/")["stats"],
            policy=INPUTS.policies.ids,
        ),
        manifest=f"{OUT}/lossmasks/by_policy/{{name}}.policies.json",
    log:
        log_file("apply_policies"),
    benchmark:
        benchmark_file("apply_policies")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        mwcs_step=config["mwcs_step"],
        allow_skeleton=config["allow_skeleton"],
        skeleton_policy=config["skeleton_policy"],
        thinking_weight=config["thinking_weight"],
        pooling_policy=config["pooling_policy"],
        code=code_digest("apply_policies"),
    message:
        "Apply every policy of the registry to {wildcards.name}, reading the renders once."
    script:
        "../scripts/apply_policies.py"


# Same input, params and script as above, so that a file made by either rule is up to date for the
# other.
use rule apply_policies as lossmask_by_policy with:
    output:
        lossmasks=[f"{OUT}/lossmasks/by_policy/{{policy}}/{{name}}.jsonl"],
        rejects=[PLAN.side_files("lossmask", below="by_policy/{policy}/")["rejects"]],
        stats=[PLAN.side_files("lossmask", below="by_policy/{policy}/")["stats"]],
    log:
        log_file("lossmask_by_policy", "{policy}/{name}"),
    benchmark:
        benchmark_file("lossmask_by_policy", "{policy}/{name}")
    message:
        "Apply the policy {wildcards.policy} to {wildcards.name}."


# A file asked for by its own path is made alone; the manifest, which only the other rule makes,
# brings all policies at once.
ruleorder: lossmask_by_policy > apply_policies


rule lossmask_all_policies:
    """The loss masks of every policy of the registry, in lossmasks/by_policy."""
    input:
        nothing_but_checked("all"),
        expand(f"{OUT}/lossmasks/by_policy/{{name}}.policies.json", name=PLAN.dataset_names),
    message:
        "The loss masks of every policy are there."


rule count_classes:
    input:
        traces=PLAN.run_files["traces"],
    output:
        f"{OUT}/mwcs/classes.json",
    log:
        log_file("count_classes", "classes"),
    benchmark:
        benchmark_file("count_classes", "classes")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_digest("count_classes"),
    message:
        "Count the mixture classes of all input traces."
    script:
        "../scripts/count_classes.py"


rule mwcs_table:
    input:
        schedule=lambda wildcards: found_input(INPUTS.named_schedule, wildcards.schedule),
    output:
        table=f"{OUT}/mwcs/{{schedule}}/weights_0_to_{{last_step}}.csv",
        plot=report(
            f"{OUT}/mwcs/{{schedule}}/weights_0_to_{{last_step}}.png",
            caption="../report/weights.rst",
            category="Curriculum",
            labels={"schedule": "{schedule}", "steps": "0 to {last_step}"},
        ),
    log:
        log_file("mwcs_table", "{schedule}/{last_step}"),
    benchmark:
        benchmark_file("mwcs_table", "{schedule}/{last_step}")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_digest("mwcs_table"),
    message:
        "Tabulate and plot the class weights of {wildcards.schedule} "
        "over steps 0 to {wildcards.last_step}."
    script:
        "../scripts/mwcs_table.py"


rule mwcs_tables:
    """Class weights of curricula over their steps, as tables and plots."""
    input:
        checked(INPUTS.weight_tables),
    message:
        "The class weights of the configured schedule, or of all of the project's own, "
        "are there as tables and plots."
