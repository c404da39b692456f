"""ETL_B, second half: render_v1 to lossmask_v1, and everything that starts from a curriculum.

Inputs: renders/{name}.jsonl with the traces they were made of. Outputs: lossmasks/{name}.jsonl; by
request lossmasks/by_policy/{policy}/{name}.jsonl and lossmasks/by_step/{step}/{name}.jsonl; mwcs/.
Renders are never made again for these.
"""

from cbdata.lossmask.policies import PolicyError
from cbdata.lossmask.registry import load_registry
from cbdata.mwcs.schedule import ScheduleError, load_schedule, schedule_path

REGISTRY_FILE = str(ROOT / "configs" / "lmp_registry_v1.json")


def planned(function, *arguments):
    """Call a function of the policy and schedule libraries. Its errors end the planning with their
    message, not a traceback.
    """
    try:
        return function(*arguments)
    except (PolicyError, ScheduleError) as error:
        raise WorkflowError(str(error))


LMP_REGISTRY = planned(load_registry, REGISTRY_FILE)


def known_policy(value):
    """A policy of the configuration or of a path, looked up before any job runs."""
    if value is not None:
        planned(LMP_REGISTRY.entry, value if isinstance(value, str) else value["policy"])
    return value


def schedule_file():
    """The schedule of the configuration, or nothing."""
    if not config["mwcs_schedule"]:
        return []
    path = str(planned(schedule_path, config["mwcs_schedule"], ROOT / "configs" / "mwcs"))
    planned(load_schedule, path)
    return path


def lossmask_inputs(wildcards):
    """Renders, their traces and the registry; with a schedule also its file and the class counts
    that it is checked against.
    """
    known_policy(wildcards.get("policy"))
    files = {
        "renders": f"{OUT}/renders/{wildcards.name}.jsonl",
        "traces": traces(wildcards.name),
        "registry": REGISTRY_FILE,
    }
    if config["mwcs_schedule"]:
        files |= {
            "mwcs_schedule": schedule_file(),
            "mixture": f"{OUT}/mwcs/classes.json",
        }
    return files


def scheduled_step(wildcards):
    if not config["mwcs_schedule"]:
        raise WorkflowError(
            f"lossmasks/by_step/{wildcards.step}: mwcs_schedule is not set. "
            "Fix: snakemake --config mwcs_schedule=balanced_cb ..."
        )
    return int(wildcards.step)


wildcard_constraints:
    policy=r"[^/]+",
    step=r"0|[1-9]\d*",
    schedule=r"[^/]+",
    last_step=r"0|[1-9]\d*",


rule apply_lossmask:
    input:
        unpack(lossmask_inputs),
    output:
        **stage_files("lossmask"),
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
        policy=known_policy(config["policy"]),
        mwcs_step=config["mwcs_step"],
        allow_skeleton=config["allow_skeleton"],
        skeleton_policy=known_policy(config["skeleton_policy"]),
        code=code_digest("apply_lossmask"),
    message:
        "Apply the loss mask policies to {wildcards.name}."
    script:
        "../scripts/apply_lossmask.py"


use rule apply_lossmask as lossmask_by_step with:
    output:
        **stage_files("lossmask", below="by_step/{step}/"),
        lossmasks=f"{OUT}/lossmasks/by_step/{{step}}/{{name}}.jsonl",
    log:
        log_file("lossmask_by_step", "{step}/{name}"),
    benchmark:
        benchmark_file("lossmask_by_step", "{step}/{name}")
    params:
        policy=known_policy(config["policy"]),
        mwcs_step=scheduled_step,
        allow_skeleton=config["allow_skeleton"],
        skeleton_policy=config["skeleton_policy"],
        code=code_digest("apply_lossmask"),
    message:
        "Apply the loss mask policies to {wildcards.name} as of step {wildcards.step}."


rule apply_policies:
    input:
        unpack(lossmask_inputs),
    output:
        lossmasks=expand(
            f"{OUT}/lossmasks/by_policy/{{policy}}/{{{{name}}}}.jsonl",
            policy=LMP_REGISTRY.ids,
        ),
        rejects=expand(
            stage_files("lossmask", "{{name}}", "by_policy/{policy}/")["rejects"],
            policy=LMP_REGISTRY.ids,
        ),
        stats=expand(
            stage_files("lossmask", "{{name}}", "by_policy/{policy}/")["stats"],
            policy=LMP_REGISTRY.ids,
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
        rejects=[stage_files("lossmask", below="by_policy/{policy}/")["rejects"]],
        stats=[stage_files("lossmask", below="by_policy/{policy}/")["stats"]],
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
    input:
        expand(f"{OUT}/lossmasks/by_policy/{{name}}.policies.json", name=dataset_names()),
    message:
        "The loss masks of every policy are there."


rule count_classes:
    input:
        traces=[traces(name) for name in dataset_names()],
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


def named_schedule(name):
    """The configuration's schedule where the name is its stem, else the one in configs/mwcs."""
    configured = schedule_file()
    return (
        configured
        if configured and Path(configured).stem == name
        else str(planned(schedule_path, name, ROOT / "configs" / "mwcs"))
    )


def whole_table(name):
    """The table of a schedule from step 0 to its end."""
    last = planned(load_schedule, named_schedule(name)).phases[-1].end
    return f"{OUT}/mwcs/{name}/weights_0_to_{last}.csv"


rule mwcs_table:
    input:
        schedule=lambda wildcards: named_schedule(wildcards.schedule),
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
    input:
        [whole_table(Path(file).stem) for file in [schedule_file()] if file]
        or [whole_table(path.stem) for path in sorted((ROOT / "configs" / "mwcs").glob("*.yaml"))],
    message:
        "The class weights of the configured schedule, or of all of the project's own, "
        "are there as tables and plots."
