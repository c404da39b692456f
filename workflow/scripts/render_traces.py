"""Render traces with a chat template and a tokenizer."""

from pathlib import Path

from cbdata.garbage import collect_rarely
from cbdata.logs import configure_logging
from cbdata.parts import part_of
from cbdata.render.ahead import WORTH_IT, begin
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
part = part_of(snakemake.wildcards)
worth_it = Path(snakemake.input.traces).stat().st_size >= WORTH_IT * part.of
ahead = begin(settings, apart=worth_it and snakemake.threads > 1)

from cbdata.render.stage import render_traces  # noqa: E402 (while the vocabulary is read)
from cbdata.stage import StageFiles  # noqa: E402

render_traces(
    snakemake.input.traces,
    StageFiles.of(out.renders, out.rejects, out.stats),
    settings,
    settings_from(values, RenderStageSettings),
    name=snakemake.wildcards.name,
    part=part,
    ahead=ahead,
)
