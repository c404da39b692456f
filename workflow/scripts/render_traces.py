"""Render traces with a chat template and a tokenizer."""

from cbdata.logs import configure_logging
from cbdata.render import RenderSettings
from cbdata.render.stage import render_traces
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out = snakemake.output
params = snakemake.params
render_traces(
    snakemake.input.traces,
    StageFiles.of(out.renders, out.rejects, out.stats),
    RenderSettings(
        tokenizer=params.tokenizer,
        chat_template=params.chat_template,
        force_llama=params.force_llama,
        control_tokens=params.control_tokens,
        template_date=params.template_date,
        cache_dir=snakemake.config.get("cache_dir"),
    ),
    name=snakemake.wildcards.name,
    tool_schema_dir=params.tool_schema_dir,
    tool_schema=snakemake.input.get("tool_schema") or None,
    max_length=params.max_length,
    overlength=params.overlength,
    include_text=params.include_text,
    allow_skeleton=params.allow_skeleton,
    tools_included=params.tools_included,
)
