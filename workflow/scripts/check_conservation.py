"""Recount every file of the run against its stats and write the summary table."""

import logging

from cbdata.atomic_file import write_atomic
from cbdata.conservation import check_run
from cbdata.json_file import write_json
from cbdata.logs import configure_logging


def main() -> None:
    """Write the table, or fail where a record is not accounted for."""
    configure_logging(snakemake.log[0])
    stages = list(
        zip(snakemake.input.stats, snakemake.input.data, snakemake.input.rejects, strict=True)
    )
    traces = dict(zip(snakemake.params.names, snakemake.input.traces, strict=True))
    for path in snakemake.input.skeletons:
        traces["(skeletons)"] = path
    table, data = check_run(stages, traces)
    write_json(snakemake.output.data, data)
    write_atomic(snakemake.output.table, table.encode())
    logging.getLogger("check_conservation").info("every record is accounted for\n%s", table)


if __name__ == "__main__":
    main()
