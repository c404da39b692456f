"""Recount every file of the run against its stats and write the summary table."""

import logging

from cbdata.atomic_file import write_atomic
from cbdata.conservation import check_run, skeletons_of
from cbdata.json_file import write_json
from cbdata.logs import configure_logging
from cbdata.skeleton_sets import stem_of


def main() -> None:
    """Write the table, or fail where a record is not accounted for."""
    configure_logging(snakemake.log[0])
    stages = list(
        zip(snakemake.input.stats, snakemake.input.data, snakemake.input.rejects, strict=True)
    )
    traces = dict(zip(snakemake.params.names, snakemake.input.traces, strict=True))
    traces |= {skeletons_of(stem_of(path)): path for path in snakemake.input.skeletons}
    table, data = check_run(stages, traces)
    write_json(snakemake.output.data, data)
    write_atomic(snakemake.output.table, table.encode())
    logging.getLogger("check_conservation").info("every record is accounted for\n%s", table)


if __name__ == "__main__":
    main()
