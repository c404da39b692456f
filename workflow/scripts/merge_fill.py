"""Rule merge_fill: the shards' rows to traces/*_ds.jsonl and traces/*_dr.jsonl, with rejects and
stats.
"""

from cbdata.fill.merge import ModeFiles, merge_shards
from cbdata.logs import configure_logging
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out = snakemake.output
merge_shards(
    snakemake.input.skeletons,
    list(snakemake.input.shards),
    {
        mode: ModeFiles(
            f"{snakemake.params.stem}_{mode}",
            StageFiles.of(out[f"{mode}_traces"], out[f"{mode}_rejects"], out[f"{mode}_stats"]),
        )
        for mode in snakemake.params.modes
    },
    snakemake.params.limit,
    snakemake.config["max_reject_fraction"]["fill"],
)
