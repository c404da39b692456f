"""SLURM's executor with patience: see workflow/scripts/patient_slurm. No rules here."""

from snakemake.logging import logger

# Jobs submit nothing. Dry runs and the local executor do not notice.
if not workflow.remote_exec:
    from patient_slurm import install

    install(logger)
