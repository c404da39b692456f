"""Raw records of one source to traces; which source is in the params of its rule."""

import importlib

from cbdata.logs import configure_logging
from cbdata.sources.options import LoadOptions
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out, params = snakemake.output, snakemake.params
importlib.import_module(params.module).convert(
    list(snakemake.input.raw),
    tool_schemas=list(snakemake.input.tool_schemas),
    split=params.split,
    outputs=StageFiles.of(out.traces, out.rejects, out.stats),
    max_reject_fraction=params.max_reject_fraction,
    options=LoadOptions(**params.options),
)
