"""Agent traces to training-ready loss masks for circuit-breaker training.

Targets: all (default), load, fill, lossmask, validate, export, push, report, and every file of the
output structure by its path.
"""

from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/last_good.smk"
include: "workflow/rules/patient_slurm.smk"


# A skipped stage has no rules: its files are sources, and Snakemake names a missing one.
if not config["skip_load"]:

    include: "workflow/rules/etl_a.smk"


if PLAN.cut:

    include: "workflow/rules/cut.smk"


if not config["skip_fill"]:

    include: "workflow/rules/fill.smk"
    include: "workflow/rules/gpu_check.smk"


include: "workflow/rules/render.smk"
include: "workflow/rules/lossmask.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/push.smk"


rule all:
    """The default: all loss masks, the summary, and the report page where that is cheap."""
    default_target: True
    input:
        nothing_but_checked("all"),
        expand(f"{OUT}/lossmasks/{{name}}.jsonl", name=PLAN.dataset_names),
        f"{OUT}/stats/summary.txt",
        report=REPORT_AT_THE_END,
    message:
        "All traces, renders and loss masks are there. "
        + (
            "Look at them: {input.report}"
            if REPORT_AT_THE_END
            else "To look at them: snakemake report, with the same settings"
        )


rule load:
    """Raw data to traces (was 01_load_data.sbatch)."""
    input:
        nothing_but_checked("load"),
        expand(f"{OUT}/traces/{{name}}.jsonl", name=PLAN.loaded),
        expand(f"{OUT}/traces/{{stem}}_skeletons.jsonl", stem=PLAN.cut),
    message:
        "The traces of the load stage are there."


rule fill:
    """Skeletons to harmful and benign traces, by the model (was 02_fill_skeletons.sbatch)."""
    input:
        nothing_but_checked("fill"),
        expand(f"{OUT}/traces/{{name}}.jsonl", name=PLAN.filled_names),
    message:
        "The completed traces are there."


rule lossmask:
    """Traces to renders and loss masks (was 03_lossmask.sbatch)."""
    input:
        nothing_but_checked("all"),
        expand(f"{OUT}/lossmasks/{{name}}.jsonl", name=PLAN.dataset_names),
    message:
        "The loss masks are there."


# What --list-rules and --list-target-rules print of a rule.
for RULE in workflow.rules:
    RULE.docstring = RULE.docstring or (RULE.message or "").replace("{wildcards.", "{")
