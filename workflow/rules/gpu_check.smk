"""A job of a minute that shows what the machine of a fill job makes of the model.

Input: the model. Output: gpu_check.txt, which `make gpu-check` shows.
"""

# One engine is looked at, whatever a fill job runs beside it.
CHECK_CONFIG = {**config, "engines_per_job": 1}
CHECK_NEEDS = job_needs(FILL_BACKEND, RuntimeSettings.of(CHECK_CONFIG))

BEFORE_THE_FIRST_JOB["gpu_check"] = lambda: check_fill_before_the_run(CHECK_CONFIG)
IN_A_DRY_RUN["gpu_check"] = lambda: check_fill_quickly(CHECK_CONFIG)
SHOWN_AT_THE_END.add("gpu_check")


rule gpu_check:
    """Load the model and complete 64 demo prompts: speed and memory."""
    input:
        model=checked(INPUTS.model_files),
        template=checked(INPUTS.template_files),
    output:
        f"{OUT}/gpu_check.txt",
    log:
        log_file("gpu_check", "gpu_check"),
    benchmark:
        benchmark_file("gpu_check", "gpu_check")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    threads: CHECK_NEEDS.cpus
    resources:
        **CHECK_NEEDS.further_resources,
        gpu=CHECK_NEEDS.gpus,
        nodes=told_in_a_dry_run(CHECK_NEEDS.nodes),
        mem_mb=growing(CHECK_NEEDS.memory_mb),
        runtime=growing(30),
    params:
        settings=semantic_params(config),
        code=code_digest("gpu_check"),
    message:
        "Load the model and complete 64 demo prompts ({resources.gpu} GPU)."
    script:
        "../scripts/gpu_check.py"
