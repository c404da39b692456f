"""Write the training rows of all loss mask files as Parquet per split, with a manifest and a data
set card.
"""

import logging
from pathlib import Path

from cbdata.export.dataset import export_parquet
from cbdata.logs import configure_logging


def main() -> None:
    configure_logging(snakemake.log[0])
    files = {
        kind: [Path(path) for path in snakemake.input[kind]]
        for kind in ("lossmasks", "renders", "traces")
    }
    manifest = export_parquet(out=Path(snakemake.output.card).parent, **files)
    for split, counts in manifest["splits"].items():
        logging.getLogger("export_parquet").info(
            "%s: %d rows, %d tokens, %d with loss",
            split,
            counts["rows"],
            counts["tokens"],
            counts["trained_tokens"],
        )


if __name__ == "__main__":
    main()
