"""ETL_A: raw data to trace_v1.

Inputs: the Fujitsu B4 file and the AgentDojo transcripts of the configuration.
Outputs: traces/fujitsu_b4_skeletons.jsonl, traces/agentdojo_complete.jsonl, with rejects and stats.
"""

from cbdata.sources.agentdojo import input_files

if config["fujitsu_b4_path"]:

    rule convert_fujitsu_b4:
        input:
            raw=lambda wildcards: resource("fujitsu_b4_path"),
            tool_schema=lambda wildcards: resource("tool_schema"),
        output:
            **stage_files("etl_a", "fujitsu_b4_skeletons"),
            traces=f"{OUT}/traces/fujitsu_b4_skeletons.jsonl",
        log:
            log_file("convert_fujitsu_b4", "fujitsu_b4_skeletons"),
        benchmark:
            benchmark_file("convert_fujitsu_b4", "fujitsu_b4_skeletons")
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        resources:
            mem_mb=growing(1000),
            runtime=growing(30),
        params:
            split=config["split"],
            max_reject_fraction=config["max_reject_fraction"],
            code=code_digest("convert_fujitsu_b4"),
        message:
            "Convert the Fujitsu B4 records to skeleton traces."
        script:
            "../scripts/convert_fujitsu_b4.py"


def agentdojo_inputs(wildcards):
    paths = config["agentdojo_path"]
    paths = [paths] if isinstance(paths, str) else paths
    return [
        str(file)
        for file in input_files(
            [checked(find_file, "agentdojo_path", path, ROOT) for path in paths]
        )
    ]


if config["agentdojo_path"]:

    rule convert_agentdojo:
        input:
            raw=agentdojo_inputs,
            tool_schemas=sorted(
                str(path)
                for path in (ROOT / "configs" / "tool_schemas").glob("agentdojo_*_v1.json")
            ),
        output:
            **stage_files("etl_a", "agentdojo_complete"),
            traces=f"{OUT}/traces/agentdojo_complete.jsonl",
        log:
            log_file("convert_agentdojo", "agentdojo_complete"),
        benchmark:
            benchmark_file("convert_agentdojo", "agentdojo_complete")
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        resources:
            mem_mb=growing(1000),
            runtime=growing(30),
        params:
            split=config["split"],
            max_reject_fraction=config["max_reject_fraction"],
            code=code_digest("convert_agentdojo"),
        message:
            "Convert the AgentDojo transcripts to traces."
        script:
            "../scripts/convert_agentdojo.py"
