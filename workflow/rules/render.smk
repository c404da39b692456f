"""ETL_B, first half: trace_v1 to render_v1.

Input: any traces/{name}.jsonl, or a file of input_traces.
Output: renders/{name}.jsonl, with rejects and stats. With render_shards, several jobs make it and
leave their parts in parts/render until they are put together.
"""


def check_renderer(load=True):
    """Load tokenizer and template as a job would, in a second or two, or only look whether they are
    there.
    """
    from cbdata.render.renderer import Renderer
    from cbdata.render.settings import RenderSettings, TokenizerError, TokenizerMissing
    from cbdata.settings import settings_from

    look = Renderer.load if load else Renderer.check_files
    try:
        look(settings_from(config, RenderSettings))
    except TokenizerMissing as error:
        missing_here(error)
    except TokenizerError as error:
        raise WorkflowError(str(error))


# The doctor says itself what is wrong with a template.
BEFORE_THE_FIRST_JOB |= {
    "render_traces": check_renderer,
    "render_part": check_renderer,
    "template_doctor": lambda: check_renderer(load=False),
}
IN_A_DRY_RUN["render_traces"] = lambda: check_renderer(load=False)
IN_A_DRY_RUN["render_part"] = IN_A_DRY_RUN["render_traces"]


RENDER_INPUT = {
    "traces": lambda wildcards: PLAN.traces(wildcards.name),
    "tool_schema": lambda wildcards: found_input(INPUTS.resource, "tool_schema"),
    "tokenizer": checked(INPUTS.tokenizer_files),
    "template": checked(INPUTS.template_files),
}
RENDER_PARAMS = {
    "tokenizer": as_given(config["tokenizer"]),
    "chat_template": as_given(config["chat_template"]),
    # In one param: Snakemake compares the set of all values, in which one more True or False is no
    # change.
    "switches": {
        key: config[key]
        for key in ("force_llama", "include_text", "allow_skeleton", "tools_included")
    },
    "control_tokens": config["control_tokens"],
    "template_date": as_given(config["template_date"]),
    "chat_template_kwargs": config["chat_template_kwargs"],
    "template_fit": as_given(config["template_fit"]),
    "max_length": config["max_length"],
    "overlength": config["overlength"],
    "completion_tokens": config["completion_tokens"],
    "earlier_thinking": config["earlier_thinking"],
    "rows": config["rows"],
    "tool_schema_dirs": checked(INPUTS.tool_schema_dirs),
    "class_caps": config["class_caps"],
    "may_be_empty": lambda wildcards: PLAN.own_traces(wildcards.name),
}


if config["render_shards"] == 1:

    rule render_traces:
        input:
            **RENDER_INPUT,
        output:
            **PLAN.side_files("render"),
            renders=f"{OUT}/renders/{{name}}.jsonl",
        log:
            log_file("render_traces"),
        benchmark:
            benchmark_file("render_traces")
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        threads: 2
        resources:
            mem_mb=growing(2000),
            runtime=told_in_a_dry_run(growing(60)),
        params:
            **RENDER_PARAMS,
            code=code_digest("render_traces"),
        message:
            "Render and tokenise {wildcards.name}."
        script:
            "../scripts/render_traces.py"

else:

    rule render_part:
        """One of the jobs that share a trace file: it renders a range of its lines."""
        input:
            **RENDER_INPUT,
        output:
            **temp_parts("render", "renders"),
        log:
            log_file("render_part", "{name}/{part}-of-{parts}"),
        benchmark:
            benchmark_file("render_part", "{name}/{part}-of-{parts}")
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        threads: 2
        resources:
            mem_mb=growing(2000),
            runtime=told_in_a_dry_run(growing(60)),
        params:
            **RENDER_PARAMS,
            code=code_digest("render_traces"),
        message:
            "Render and tokenise {wildcards.name}, part {wildcards.part} of {wildcards.parts}."
        script:
            "../scripts/render_traces.py"

    rule render_traces:
        """The parts of a render file in their order: what one job would have written."""
        input:
            **RENDER_INPUT,
            **all_parts("render", "renders"),
        output:
            **PLAN.side_files("render"),
            renders=f"{OUT}/renders/{{name}}.jsonl",
        log:
            log_file("render_traces"),
        benchmark:
            benchmark_file("render_traces")
        conda:
            ENVIRONMENT
        envmodules:
            *config["envmodules"],
        resources:
            mem_mb=growing(1000),
            runtime=growing(60),
        params:
            **RENDER_PARAMS,
            code=code_digest("merge_renders"),
        message:
            "Put the parts of the renders of {wildcards.name} together."
        script:
            "../scripts/merge_renders.py"


rule template_doctor:
    """Try what the tokenizer and the chat template do to conversations."""
    input:
        tokenizer=checked(INPUTS.tokenizer_files),
        template=checked(INPUTS.template_files),
    output:
        f"{OUT}/template_doctor.txt",
    log:
        log_file("template_doctor", "template_doctor"),
    benchmark:
        benchmark_file("template_doctor", "template_doctor")
    conda:
        ENVIRONMENT
    envmodules:
        *config["envmodules"],
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        tokenizer=as_given(config["tokenizer"]),
        chat_template=as_given(config["chat_template"]),
        force_llama=config["force_llama"],
        template_date=as_given(config["template_date"]),
        chat_template_kwargs=config["chat_template_kwargs"],
        template_fit=as_given(config["template_fit"]),
        code=code_digest("template_doctor"),
    message:
        "Try what the tokenizer and the chat template do to conversations; "
        "the table goes to {output}."
    script:
        "../scripts/template_doctor.py"
