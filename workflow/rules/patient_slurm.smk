"""SLURM's executor with patience: see workflow/scripts/patient_slurm. No rules here."""

from snakemake.logging import logger

# Jobs submit nothing. Dry runs and the local executor do not notice.
if workflow.remote_exec:
    from patient_slurm import install_in_job

    install_in_job()
else:
    from patient_slurm import install

    install(logger)
