"""What people look at and what trainers take: checks of all files, the report page, Parquet files
and pairs.

Inputs: the traces, renders, loss masks, rejects and stats of the run.
Outputs: validation/, report/index.html, export/.
A run makes the page at its end (rule all) where that takes little time.
The report also shows the loss masks of further policies and steps that exist below lossmasks/ when
it is built, the benchmark files of the run and the efficiency reports of the SLURM plugin.
"""

RUN_FILES = PLAN.run_files
RUN_STAGES = PLAN.all_stages
STAGE_FILES = PLAN.side_files_of(RUN_STAGES)
USED_SKELETONS = PLAN.used_skeletons(RUN_STAGES)

# A model that wrote nothing in this run is no setting of it.
GENERATES = any(stage == "fill" for stage, _ in RUN_STAGES)


REPORT_AT_THE_END = [f"{OUT}/report/index.html"] if checked(INPUTS.report_is_cheap) else []


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
        split_by=config["split_by"],
        code=code_digest("validate_files"),
    message:
        "Check every file of the run: schemas, joins, lengths, masks within roles, weights, "
        "conservation."
    script:
        "../scripts/validate_files.py"


rule require_passed:
    """See whether every check passed."""
    input:
        table=rules.validate_files.output.table,
        data=rules.validate_files.output.data,
    output:
        f"{OUT}/validation/passed.txt",
    log:
        log_file("require_passed", "validation"),
    benchmark:
        benchmark_file("require_passed", "validation")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("require_passed"),
    message:
        "See whether every check passed: {input.table}"
    script:
        "../scripts/require_passed.py"


rule build_report:
    input:
        **RUN_FILES,
        **STAGE_FILES,
        skeletons=USED_SKELETONS,
        registry=REGISTRY_FILE,
        tokenizer=checked(INPUTS.local_files, "tokenizer", "tokenizer.json"),
        styles=sorted(
            str(path) for path in (ROOT / "workflow/scripts/cbdata/report/assets").glob("*.css")
        ),
        schedule=[path for path in [checked(INPUTS.schedule)] if path],
        published=sorted(str(path) for path in (ROOT / "configs/published_rates").glob("*.json")),
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
        names=PLAN.dataset_names,
        attempts=config["attempts"],
        step=config["mwcs_step"] or 0,
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
            if config[key] is not None and (key != "model" or GENERATES)
        },
        code=code_digest("build_report"),
    message:
        "Build the report page with the token viewer."
    script:
        "../scripts/build_report.py"


def export_outputs(export):
    """The outputs of an export by name, marked where one is a folder or the data set card."""
    marked = {}
    for name, below in export.outputs.items():
        path = f"{OUT}/export/{below.removesuffix('/')}"
        if below.endswith("/"):
            marked[name] = directory(path)
        elif name == "card":
            marked[name] = report(
                path,
                caption="../report/card.rst",
                category="Data sets",
                labels={"what": "Data set card"},
            )
        else:
            marked[name] = path
    return marked


def export_options(export):
    """The values of the configuration keys that an export asks for; files are looked up."""
    found = {
        "tool_schema": lambda: found_input(INPUTS.resource, "tool_schema"),
        "tool_schema_dirs": lambda: found_input(INPUTS.tool_schema_dirs),
    }
    return {key: found.get(key, lambda: config[key])() for key in export.options}


EXPORT_FILES = RUN_FILES | {"skeletons": USED_SKELETONS}

for EXPORT in EXPORTS:

    rule:
        name:
            f"export_{EXPORT.name}"
        input:
            **{kind: EXPORT_FILES[kind] for kind in EXPORT.reads},
        output:
            **export_outputs(EXPORT),
        log:
            log_file(f"export_{EXPORT.name}", EXPORT.log),
        benchmark:
            benchmark_file(f"export_{EXPORT.name}", EXPORT.log)
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        resources:
            mem_mb=growing(EXPORT.mem_mb),
            runtime=growing(EXPORT.runtime),
        params:
            module=EXPORT.dotted,
            options=lambda wildcards, export=EXPORT: export_options(export),
            code=code_digest("export_data", EXPORT.dotted),
        message:
            EXPORT.message
        script:
            "../scripts/export_data.py"


rule report:
    """One page with the figures of the run and a viewer of tokens and masks."""
    input:
        nothing_but_checked("all"),
        rules.build_report.output,
    message:
        "The report page is there: {input[0]}"


rule export:
    """Parquet files and pairs for trainers."""
    input:
        nothing_but_checked("all"),
        [
            getattr(rules, f"export_{export.name}").output
            for export in EXPORTS
            if not export.by_request
        ],
    message:
        "The exported data sets are there."


rule validate:
    """Check every file of the run."""
    input:
        nothing_but_checked("all"),
        rules.validate_files.output.table,
        rules.require_passed.output,
    message:
        "Every check passed: {input[0]}"
