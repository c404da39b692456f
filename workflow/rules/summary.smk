"""The end of a run: the conservation law recounted on disk, and one table.

Inputs: stats, data and rejects of every stage that takes part.
Outputs: stats/summary.txt, stats/summary.json.
"""

from cbdata.outcome import outcome

# What people look at or take away.
PAGES = ("stats/summary.txt", "validation/validation.txt", "report/index.html", "export/README.md")


def what_came_out(failed=False):
    """The words that end a run, about every file that its targets ask for, made now or before."""
    made = [str(path) for job in workflow.dag.jobs for path in job.output]
    stats = [path for path in made if path.startswith(f"{OUT}/stats/") and path.endswith(".json")]
    depth = OUT.count("/") + 3
    planned = [PLAN.side_files(*entry)["stats"] for entry in PLAN.all_stages]
    by_stage = [path for path in stats if path.count("/") == depth]
    by_stage.sort(key=lambda path: planned.index(path) if path in planned else len(planned))
    return outcome(
        list(map(Path, by_stage)),
        out=OUT,
        settings=config,
        targets=[found.name for found in workflow.dag.targetrules],
        pages=[f"{OUT}/{page}" for page in PAGES if f"{OUT}/{page}" in made],
        sweeps=[Path(path) for path in stats if path.count("/") > depth],
        failed=failed,
    )


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
