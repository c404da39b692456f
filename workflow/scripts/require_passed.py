"""Fail where a check of the run's files has failed; the table of all checks is there either way."""

from cbdata.atomic_file import write_atomic
from cbdata.logs import configure_logging
from cbdata.validation.findings import require_passed

configure_logging(snakemake.log[0])
verdict = require_passed(snakemake.input.data, snakemake.input.table)
write_atomic(snakemake.output[0], f"{verdict}\n".encode())
