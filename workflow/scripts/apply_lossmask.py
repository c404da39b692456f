"""Apply the loss mask policies to one render file."""

from cbdata.logs import configure_logging
from cbdata.lossmask.settings import LossmaskSettings
from cbdata.lossmask.stage import apply_lossmask
from cbdata.parts import part_of
from cbdata.settings import settings_from
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out = snakemake.output
values = {
    **dict(snakemake.params.items()),
    "mwcs_schedule": snakemake.input.get("mwcs_schedule") or None,
    "mixture": snakemake.input.get("mixture") or None,
    "reject_limit": snakemake.config["max_reject_fraction"]["lossmask"],
    "registry": snakemake.input.registry,
}
apply_lossmask(
    snakemake.input.renders,
    snakemake.input.traces,
    StageFiles.of(out.lossmasks, out.rejects, out.stats),
    settings_from(values, LossmaskSettings),
    name=snakemake.wildcards.name,
    part=part_of(snakemake.wildcards),
)
