"""Apply one policy or all of them to one render file, in one pass. Output folders are named after
policies.
"""

from pathlib import Path

from cbdata.logs import configure_logging
from cbdata.lossmask.stage import apply_policies
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
paths = zip(
    snakemake.output.lossmasks, snakemake.output.rejects, snakemake.output.stats, strict=True
)
apply_policies(
    snakemake.input.renders,
    snakemake.input.traces,
    {
        Path(lossmasks).parent.name: StageFiles.of(lossmasks, rejects, stats)
        for lossmasks, rejects, stats in paths
    },
    manifest=snakemake.output.get("manifest"),
    name=snakemake.wildcards.name,
    mwcs_schedule=snakemake.input.get("mwcs_schedule") or None,
    mwcs_step=snakemake.params.mwcs_step,
    mixture=snakemake.input.get("mixture") or None,
    allow_skeleton=snakemake.params.allow_skeleton,
    skeleton_policy=snakemake.params.skeleton_policy,
    registry=snakemake.input.registry,
)
