"""Render traces with a chat template and a tokenizer."""

from cbdata.garbage import collect_rarely
from cbdata.logs import configure_logging
from cbdata.render.ahead import load_ahead
from cbdata.render.settings import RenderSettings, RenderStageSettings
from cbdata.settings import settings_from

configure_logging(snakemake.log[0])
out = snakemake.output
values = {
    **dict(snakemake.params.items()),
    **snakemake.params.get("switches", {}),
    "cache_dir": snakemake.config.get("cache_dir"),
    "reject_limit": snakemake.config["max_reject_fraction"]["render"],
    "tool_schema_file": snakemake.input.get("tool_schema") or None,
}
settings = settings_from(values, RenderSettings)
collect_rarely()
load_ahead(settings)

from cbdata.parts import part_of  # noqa: E402
from cbdata.render.stage import render_traces  # noqa: E402 (while the tokenizer is loaded)
from cbdata.stage import StageFiles  # noqa: E402

render_traces(
    snakemake.input.traces,
    StageFiles.of(out.renders, out.rejects, out.stats),
    settings,
    settings_from(values, RenderStageSettings),
    name=snakemake.wildcards.name,
    part=part_of(snakemake.wildcards),
)
