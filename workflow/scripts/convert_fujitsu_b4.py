"""Fujitsu B4 records to skeleton traces."""

from cbdata.logs import configure_logging
from cbdata.sources.fujitsu_b4 import convert
from cbdata.stage import StageFiles
from cbdata.tools import load_tool_schema

configure_logging(snakemake.log[0])
out = snakemake.output
convert(
    snakemake.input.raw,
    load_tool_schema(snakemake.input.tool_schema),
    split=snakemake.params.split,
    outputs=StageFiles.of(out.traces, out.rejects, out.stats),
    max_reject_fraction=snakemake.params.max_reject_fraction,
)
