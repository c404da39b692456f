"""Apply the loss mask policies to one render file."""

from cbdata.logs import configure_logging
from cbdata.lossmask.stage import apply_lossmask
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out = snakemake.output
apply_lossmask(
    snakemake.input.renders,
    snakemake.input.traces,
    StageFiles.of(out.lossmasks, out.rejects, out.stats),
    name=snakemake.wildcards.name,
    policy=snakemake.params.policy,
    mwcs_schedule=snakemake.input.get("mwcs_schedule") or None,
    mwcs_step=snakemake.params.mwcs_step,
    mixture=snakemake.input.get("mixture") or None,
    allow_skeleton=snakemake.params.allow_skeleton,
    skeleton_policy=snakemake.params.skeleton_policy,
    registry=snakemake.input.registry,
)
