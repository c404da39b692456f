"""AgentDojo transcripts to traces."""

from cbdata.logs import configure_logging
from cbdata.sources.agentdojo import convert
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out = snakemake.output
convert(
    list(snakemake.input.raw),
    split=snakemake.params.split,
    outputs=StageFiles.of(out.traces, out.rejects, out.stats),
    max_reject_fraction=snakemake.params.max_reject_fraction,
    tool_schemas=snakemake.input.tool_schemas,
)
