"""Apply one policy or all of them to one render file, in one pass. Output folders are named after
policies.
"""

from pathlib import Path

from cbdata.logs import configure_logging
from cbdata.lossmask.settings import LossmaskSettings
from cbdata.lossmask.stage import apply_policies, write_manifest
from cbdata.settings import settings_from
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
out, name = snakemake.output, snakemake.wildcards.name
files = {
    Path(lossmasks).parent.name: StageFiles.of(lossmasks, rejects, stats)
    for lossmasks, rejects, stats in zip(out.lossmasks, out.rejects, out.stats, strict=True)
}
values = {
    **dict(snakemake.params.items()),
    "policy": None,
    "mwcs_schedule": snakemake.input.get("mwcs_schedule") or None,
    "mixture": snakemake.input.get("mixture") or None,
    "registry": snakemake.input.registry,
}
apply_policies(
    snakemake.input.renders,
    snakemake.input.traces,
    files,
    settings_from(values, LossmaskSettings),
    name=name,
)
if manifest := out.get("manifest"):  # the rule that makes a single policy has none
    write_manifest(manifest, name, files)
