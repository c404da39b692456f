"""Complete traces of one source to the skeletons of their decision points."""

from cbdata.decision_points.cut import CutSettings
from cbdata.decision_points.stage import cut_decision_points
from cbdata.logs import configure_logging
from cbdata.settings import settings_from
from cbdata.stage import StageFiles

configure_logging(snakemake.log[0])
inputs, out = snakemake.input, snakemake.output
cut_decision_points(
    inputs.traces,
    goals=inputs.goals,
    defaults=inputs.defaults,
    settings=settings_from(dict(snakemake.params.items()), CutSettings),
    outputs=StageFiles.of(out.skeletons, out.rejects, out.stats),
    max_reject_fraction=snakemake.params.max_reject_fraction,
    name=f"{snakemake.wildcards.source}_skeletons",
)
