"""Put the parts of a render file together."""

from cbdata.logs import configure_logging
from cbdata.render.merge import merge_renders
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out, given, params = snakemake.output, snakemake.input, snakemake.params
merge_renders(
    given.traces,
    [
        StageFiles.of(*files)
        for files in zip(given.part_renders, given.part_rejects, given.part_stats, strict=True)
    ],
    StageFiles.of(out.renders, out.rejects, out.stats),
    name=snakemake.wildcards.name,
    rows=params.rows,
    reject_limit=snakemake.config["max_reject_fraction"]["render"],
    may_be_empty=params.may_be_empty,
)
