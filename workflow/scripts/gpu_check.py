"""Rule gpu_check: load the model, complete 64 demo prompts, and say what a whole run would take."""

import os

from cbdata.atomic_file import write_atomic
from cbdata.fill.gpu_check import check
from cbdata.fill.job import EXECUTOR_JOB, FillJob
from cbdata.fill.settings import FillSettings, RuntimeSettings

settings = FillSettings.of(snakemake.config)
job = FillJob(
    sets=(),
    tool_schema="",
    shard=0,
    shards=1,
    log=str(snakemake.log[0]),
    settings=settings,
    runtime=RuntimeSettings.of(snakemake.config),
    gpus=int(snakemake.resources.get("gpu", 0)) if EXECUTOR_JOB in os.environ else 0,
)
write_atomic(snakemake.output[0], check(job, len(settings.modes)).encode())
