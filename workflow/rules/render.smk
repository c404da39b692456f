"""ETL_B, first half: trace_v1 to render_v1.

Input: any traces/{name}.jsonl, or a file of input_traces.
Output: renders/{name}.jsonl, with rejects and stats.
"""


def local_resources(key, *files):
    """The named files of a setting that is a local directory, or the file that it is. They become
    inputs, so that a change of them renders again.
    """
    value = config[key]
    path = Path(value) if value else None
    if path is None or not path.exists():
        return []
    return (
        [str(path)]
        if path.is_file()
        else [str(path / file) for file in files if (path / file).exists()]
    )


def template_file():
    """The project's own template file where the configuration names one."""
    name = "llama31_tools" if config["force_llama"] else config["chat_template"]
    path = ROOT / "configs" / "chat_templates" / f"{name}.jinja"
    return [str(path)] if name and path.exists() else local_resources("chat_template")


rule render_traces:
    input:
        traces=lambda wildcards: traces(wildcards.name),
        tool_schema=lambda wildcards: resource("tool_schema"),
        tokenizer=local_resources(
            "tokenizer", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
        ),
        template=template_file(),
    output:
        **stage_files("render"),
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
        runtime=growing(60),
    params:
        tokenizer=config["tokenizer"],
        chat_template=config["chat_template"],
        force_llama=config["force_llama"],
        control_tokens=config["control_tokens"],
        template_date=config["template_date"],
        max_length=config["max_length"],
        overlength=config["overlength"],
        include_text=config["include_text"],
        allow_skeleton=config["allow_skeleton"],
        tools_included=config["tools_included"],
        tool_schema_dir=str(ROOT / "configs" / "tool_schemas"),
        code=code_digest("render_traces"),
    message:
        "Render and tokenise {wildcards.name}."
    script:
        "../scripts/render_traces.py"


rule template_doctor:
    input:
        tokenizer=local_resources(
            "tokenizer", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
        ),
        template=template_file(),
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
        tokenizer=config["tokenizer"],
        chat_template=config["chat_template"],
        force_llama=config["force_llama"],
        template_date=config["template_date"],
        code=code_digest("template_doctor"),
    message:
        "Try what the tokenizer and the chat template do to conversations; "
        "the table goes to {output}."
    script:
        "../scripts/template_doctor.py"
