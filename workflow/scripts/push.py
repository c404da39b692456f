"""The export as a data set of the Hugging Face Hub."""

import logging
from pathlib import Path

from cbdata.export.push import push
from cbdata.json_file import write_json
from cbdata.logs import configure_logging


def main() -> None:
    """Push, and write down what is there now."""
    configure_logging(snakemake.log[0])
    params = snakemake.params
    done = push(Path(params.folder), params.outputs, params.repo, private=params.private)
    write_json(snakemake.output[0], done)
    logging.getLogger("push").info("%d files are at %s", len(done["files"]), done["url"])


if __name__ == "__main__":
    main()
