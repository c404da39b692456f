"""ETL_A: raw data to trace_v1, a rule a source.

Inputs: the raw files of every source that the configuration names, and its tool schemas.
Outputs: traces/{data set}.jsonl with rejects and stats. The sources are in cbdata.sources.registry.
"""

for SOURCE in PLAN.converted:

    rule:
        name:
            f"convert_{SOURCE.name}"
        input:
            raw=lambda wildcards, source=SOURCE: found_input(INPUTS.raw_files, source),
            tool_schemas=lambda wildcards, source=SOURCE: found_input(INPUTS.tool_schemas, source),
        output:
            **PLAN.side_files("etl_a", SOURCE.dataset),
            traces=PLAN.data("etl_a", SOURCE.dataset),
        log:
            log_file(f"convert_{SOURCE.name}", SOURCE.dataset),
        benchmark:
            benchmark_file(f"convert_{SOURCE.name}", SOURCE.dataset)
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        resources:
            mem_mb=growing(1000),
            runtime=growing(30),
        params:
            module=SOURCE.module,
            split=as_given(config["source_splits"].get(SOURCE.name, config["split"])),
            options=as_given(
                {
                    **{key: config[key] for key in ("split_by", "class_caps", "resisted")},
                    "own": {key: config[key] for key in SOURCE.options},
                }
            ),
            max_reject_fraction=config["max_reject_fraction"]["etl_a"],
            code=code_digest("convert_source", SOURCE.module),
        message:
            SOURCE.message
        script:
            "../scripts/convert_source.py"
