"""Write DS/DR twins side by side."""

import logging
from pathlib import Path

import orjson

from cbdata.atomic_file import write_atomic
from cbdata.export.pairs import export_pairs
from cbdata.logs import configure_logging


def main() -> None:
    configure_logging(snakemake.log[0])
    lossmasks, renders = (
        [Path(path) for path in snakemake.input[kind]] for kind in ("lossmasks", "renders")
    )
    counts = export_pairs(lossmasks, renders, Path(snakemake.output.pairs))
    write_atomic(
        snakemake.output.counts,
        orjson.dumps(counts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    )
    logging.getLogger("export_pairs").info("%s", counts)


if __name__ == "__main__":
    main()
