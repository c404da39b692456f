"""The end of a run: the conservation law recounted on disk, and one table.

Inputs: stats, data and rejects of every stage that takes part.
Outputs: stats/summary.txt, stats/summary.json.
"""

from cbdata.conservation import STAGE_FOLDERS


def made_here(stage, name):
    """Whether a stage's file belongs to this run. With ``input_traces``, load and fill count only
    where one of their own files is taken.
    """
    if not TRACE_SOURCES or stage in ("render", "lossmask"):
        return True
    taken = {name for name, path in TRACE_SOURCES.items() if path == f"{OUT}/traces/{name}.jsonl"}
    return name in taken or (
        stage == "etl_a" and name == SKELETONS and bool(taken & set(filled_names()))
    )


def summary_stages():
    """``(stage, name)`` of every file that the run makes, in the order of the pipeline."""
    stages = []
    if not config["skip_load"]:
        stages += [("etl_a", "fujitsu_b4_skeletons")] if config["fujitsu_b4_path"] else []
        stages += [("etl_a", "agentdojo_complete")] if config["agentdojo_path"] else []
    if not config["skip_fill"]:
        stages += [("fill", name) for name in filled_names()]
    names = dataset_names()
    stages += [("render", name) for name in names] + [("lossmask", name) for name in names]
    return [entry for entry in stages if made_here(*entry)]


SUMMARY_STAGES = summary_stages()


def stage_data(stage, name):
    return f"{OUT}/{STAGE_FOLDERS[stage]}/{name}.jsonl"


rule check_conservation:
    input:
        stats=[stage_files(*entry)["stats"] for entry in SUMMARY_STAGES],
        rejects=[stage_files(*entry)["rejects"] for entry in SUMMARY_STAGES],
        data=[stage_data(*entry) for entry in SUMMARY_STAGES],
        traces=[traces(name) for name in dataset_names()],
        skeletons=[skeleton_file()] if any(stage == "fill" for stage, _ in SUMMARY_STAGES) else [],
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
        names=dataset_names(),
        code=code_digest("check_conservation"),
    message:
        "Recount every record of the run and write the summary."
    script:
        "../scripts/check_conservation.py"
