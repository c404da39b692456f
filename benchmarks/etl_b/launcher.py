"""Run one of the workflow's scripts as Snakemake does, with ``snakemake`` put into its namespace.

usage: python launcher.py SCRIPT JOB.json

JOB.json has input, output, params, config, wildcards (objects) and log (a list).
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Names(dict[str, Any]):
    """Values by name, as attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


def main() -> None:
    script, job = sys.argv[1:]
    data = json.loads(Path(job).read_text())
    sys.path.append(str(Path(script).parent))
    values = {
        key: Names(value) if isinstance(value, dict) else value for key, value in data.items()
    }
    runpy.run_path(script, init_globals={"snakemake": SimpleNamespace(**values)})


if __name__ == "__main__":
    main()
