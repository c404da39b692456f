"""The end of a run: the conservation law recounted on disk, and one table.

Inputs: stats, data and rejects of every stage that takes part.
Outputs: stats/summary.txt, stats/summary.json.
"""


rule check_conservation:
    input:
        **PLAN.side_files_of(PLAN.stages),
        data=[PLAN.data(*entry) for entry in PLAN.stages],
        traces=PLAN.run_files["traces"],
        skeletons=PLAN.used_skeletons(PLAN.stages),
    output:
        table=report(
            f"{OUT}/stats/summary.txt",
            caption="../report/summary.rst",
            category="Checks",
            labels={"what": "Summary of the run"},
        ),
        data=f"{OUT}/stats/summary.json",
    log:
        log_file("check_conservation", "summary"),
    benchmark:
        benchmark_file("check_conservation", "summary")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        names=PLAN.dataset_names,
        code=code_digest("check_conservation"),
    message:
        "Recount every record of the run and write the summary."
    script:
        "../scripts/check_conservation.py"
