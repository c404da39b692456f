"""Rule fill_shard: write the job file of a shard, then become the fill process.

The engine spawns processes that import the main module again, which a script that Snakemake runs
cannot stand; so this process is replaced by ``python -m cbdata.fill``, under the same process id.
"""

import os
import sys
from pathlib import Path

from cbdata.fill.job import EXECUTOR_JOB, FillJob, SetFiles
from cbdata.fill.settings import FillSettings, RuntimeSettings
from cbdata.logs import configure_logging
from cbdata.run_inputs import tool_schema_dirs

# The params begin with a folder for each set.
files = zip(snakemake.input.skeletons, snakemake.output.rows, snakemake.params, strict=False)
job = FillJob(
    sets=[
        SetFiles(skeletons=str(skeletons), output=str(rows), progress_dir=str(progress))
        for skeletons, rows, progress in files
    ],
    tool_schema=str(snakemake.input.tool_schema),
    shard=int(snakemake.wildcards.shard),
    shards=int(snakemake.wildcards.shards),
    log=str(snakemake.log[0]),
    settings=FillSettings.of(snakemake.config),
    runtime=RuntimeSettings.of(snakemake.config),
    tool_schema_dirs=tool_schema_dirs(snakemake.config),
    gpus=int(snakemake.resources.get("gpu", 0)) if EXECUTOR_JOB in os.environ else 0,
)
# What goes wrong before the process is replaced is told in the rule's log too.
configure_logging(snakemake.log[0])
job.job_file.parent.mkdir(parents=True, exist_ok=True)
job.save(job.job_file)

scripts = str(Path(sys.modules["cbdata"].__file__).resolve().parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join([scripts, *filter(None, [os.environ.get("PYTHONPATH")])])
os.execv(sys.executable, [sys.executable, "-m", "cbdata.fill", str(job.job_file)])
