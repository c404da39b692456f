"""Traces, renders and masks of a run in one form for trainers; which is in the rule's params."""

import importlib
import logging
from pathlib import Path

from cbdata.export import ExportFiles
from cbdata.logs import configure_logging
from cbdata.progress import watched


def main() -> None:
    """Call the export's ``write``, and log what it counted."""
    configure_logging(snakemake.log[0])
    files = {kind: tuple(map(Path, paths)) for kind, paths in snakemake.input.items()}
    outputs = {name: Path(path) for name, path in snakemake.output.items()}
    module = importlib.import_module(snakemake.params.module)
    # The masks are gone through once, from the beginning to the end.
    with watched(snakemake.rule, files.get("lossmasks") or files["traces"]):
        written = module.write(ExportFiles(**files), outputs, snakemake.params.options)
    for name, counts in written.items():
        logging.getLogger(snakemake.rule).info("%s: %s", name, counts)


if __name__ == "__main__":
    main()
