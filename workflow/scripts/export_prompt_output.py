"""Write plain prompt/output pairs, as the original circuit-breaker code reads them."""

import logging
from pathlib import Path

import orjson

from cbdata.atomic_file import write_atomic
from cbdata.export.prompt_output import export_prompt_output
from cbdata.logs import configure_logging


def main() -> None:
    configure_logging(snakemake.log[0])
    counts = export_prompt_output(
        [Path(path) for path in snakemake.input.traces],
        Path(snakemake.output.harmful),
        Path(snakemake.output.benign),
    )
    write_atomic(
        snakemake.output.counts,
        orjson.dumps(counts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    )
    logging.getLogger("export_prompt_output").info("%s", counts)


if __name__ == "__main__":
    main()
