"""Cut: complete traces to skeletons of their decision points.

Inputs: traces/{source}_complete.jsonl, the source's tables of attack goals and of the environments'
own texts. Outputs: traces/{source}_skeletons.jsonl with rejects and stats.
"""


rule cut_decision_points:
    input:
        unpack(lambda wildcards: INPUTS.decision_tables(wildcards.source)),
        traces=f"{OUT}/traces/{{source}}_complete.jsonl",
    output:
        **PLAN.side_files("cut", "{source}_skeletons"),
        skeletons=f"{OUT}/traces/{{source}}_skeletons.jsonl",
    log:
        log_file("cut_decision_points", "{source}_skeletons"),
    benchmark:
        benchmark_file("cut_decision_points", "{source}_skeletons")
    wildcard_constraints:
        source="|".join(PLAN.cut),
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        decision_points=config["decision_points"],
        decision_prefix=config["decision_prefix"],
        max_reject_fraction=config["max_reject_fraction"]["cut"],
        code=code_digest("cut_decision_points"),
    message:
        "Cut the complete traces of {wildcards.source} at their decision points."
    script:
        "../scripts/cut_decision_points.py"
