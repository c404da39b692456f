"""Put the parts of a loss mask file together."""

from cbdata.logs import configure_logging
from cbdata.lossmask.merge import merge_lossmasks
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out, given = snakemake.output, snakemake.input
merge_lossmasks(
    [
        StageFiles.of(*files)
        for files in zip(given.part_lossmasks, given.part_rejects, given.part_stats, strict=True)
    ],
    StageFiles.of(out.lossmasks, out.rejects, out.stats),
    name=snakemake.wildcards.name,
    reject_limit=snakemake.config["max_reject_fraction"]["lossmask"],
)
