"""What people look at and what trainers take: checks of all files, the report page, Parquet files
and pairs.

Inputs: the traces, renders, loss masks, rejects and stats of the run.
Outputs: validation/, report/index.html, export/.
The report also shows the loss masks of further policies and steps that exist below lossmasks/ when
it is built, the benchmark files of the run and the efficiency reports of the SLURM plugin.
"""


def run_files(folder):
    return [f"{OUT}/{folder}/{name}.jsonl" for name in dataset_names()]


RUN_FILES = {
    "traces": [traces(name) for name in dataset_names()],
    "renders": run_files("renders"),
    "lossmasks": run_files("lossmasks"),
}


def earlier_stages():
    """Stages that this run skips and whose stats and rejects an earlier run left. The report's
    funnel starts with them.
    """
    skipped = (
        [("etl_a", name) for name in (SKELETONS, "agentdojo_complete")]
        if config["skip_load"]
        else []
    )
    skipped += [("fill", name) for name in filled_names()] if config["skip_fill"] else []
    return [
        entry
        for entry in skipped
        if all(Path(path).exists() for path in stage_files(*entry).values())
    ]


RUN_STAGES = [entry for entry in earlier_stages() if made_here(*entry)] + SUMMARY_STAGES
STAGE_FILES = {
    kind: [stage_files(*entry)[kind] for entry in RUN_STAGES] for kind in ("stats", "rejects")
}
USED_SKELETONS = [
    path for path in [skeleton_file()] if any(stage == "fill" for stage, _ in RUN_STAGES)
]


rule validate_files:
    input:
        **RUN_FILES,
        **STAGE_FILES,
        skeletons=USED_SKELETONS,
        registry=REGISTRY_FILE,
    output:
        table=report(
            f"{OUT}/validation/validation.txt",
            caption="../report/validation.rst",
            category="Checks",
            labels={"what": "Checks of every file"},
        ),
        data=f"{OUT}/validation/validation.json",
    log:
        log_file("validate_files", "validation"),
    benchmark:
        benchmark_file("validate_files", "validation")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code_digest("validate_files"),
    message:
        "Check every file of the run: schemas, joins, lengths, masks within roles, weights, "
        "conservation."
    script:
        "../scripts/validate_files.py"


rule build_report:
    input:
        **RUN_FILES,
        **STAGE_FILES,
        skeletons=USED_SKELETONS,
        registry=REGISTRY_FILE,
        tokenizer=local_resources("tokenizer", "tokenizer.json"),
        styles=sorted(
            str(path) for path in (ROOT / "workflow/scripts/cbdata/report/assets").glob("*.css")
        ),
    output:
        report(
            f"{OUT}/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"what": "Report page with the token viewer"},
        ),
    log:
        log_file("build_report", "index"),
    benchmark:
        benchmark_file("build_report", "index")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        names=dataset_names(),
        attempts=config["attempts"],
        settings={
            key: config[key]
            for key in (
                "model",
                "tokenizer",
                "max_length",
                "policy",
                "mwcs_schedule",
                "mwcs_step",
                "seed",
            )
            if config[key] is not None
        },
        code=code_digest("build_report"),
    message:
        "Build the report page with the token viewer."
    script:
        "../scripts/build_report.py"


rule export_parquet:
    input:
        **RUN_FILES,
    output:
        data=directory(f"{OUT}/export/data"),
        manifest=f"{OUT}/export/manifest.json",
        card=report(
            f"{OUT}/export/README.md",
            caption="../report/card.rst",
            category="Data sets",
            labels={"what": "Data set card"},
        ),
    log:
        log_file("export_parquet", "export"),
    benchmark:
        benchmark_file("export_parquet", "export")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code_digest("export_parquet"),
    message:
        "Write the training rows as Parquet, one file a split, with a data set card."
    script:
        "../scripts/export_parquet.py"


rule export_pairs:
    input:
        **RUN_FILES,
    output:
        pairs=f"{OUT}/export/pairs/pairs.parquet",
        counts=f"{OUT}/export/pairs/pairs.json",
    log:
        log_file("export_pairs", "pairs"),
    benchmark:
        benchmark_file("export_pairs", "pairs")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code_digest("export_pairs"),
    message:
        "Write the harmful and the benign completion of each skeleton side by side."
    script:
        "../scripts/export_pairs.py"


# Only by request, by this name or its files: the form that the original circuit-breaker code reads.
rule export_prompt_output:
    input:
        traces=RUN_FILES["traces"],
    output:
        harmful=f"{OUT}/export/prompt_output/harmful.json",
        benign=f"{OUT}/export/prompt_output/benign.json",
        counts=f"{OUT}/export/prompt_output/counts.json",
    log:
        log_file("export_prompt_output", "prompt_output"),
    benchmark:
        benchmark_file("export_prompt_output", "prompt_output")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_digest("export_prompt_output"),
    message:
        "Write plain prompt and output pairs of the single-turn traces."
    script:
        "../scripts/export_prompt_output.py"


rule report:
    input:
        rules.build_report.output,
    message:
        "The report page is there: {input}"


rule export:
    input:
        rules.export_parquet.output,
        rules.export_pairs.output,
    message:
        "The exported data sets are there."


rule validate:
    input:
        rules.validate_files.output,
    message:
        "Every check passed: {input[0]}"
