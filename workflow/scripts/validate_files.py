"""Check trace, render and loss mask files: a rule's script, and a command with an exit status for
any set of such files.
"""

import argparse
import logging
import sys
from pathlib import Path

from cbdata.atomic_file import write_atomic
from cbdata.json_file import write_json
from cbdata.logs import configure_logging
from cbdata.lossmask.policies import PolicyError
from cbdata.lossmask.registry import load_registry
from cbdata.paths import POLICY_REGISTRY
from cbdata.progress import watched
from cbdata.sources.options import SPLIT_BY
from cbdata.validation.files import UnknownFile
from cbdata.validation.findings import Findings
from cbdata.validation.run import validate


def write_results(findings: Findings, table: str | Path | None, data: str | Path | None) -> None:
    """Write what was found.

    Args:
        findings: The results of all checks.
        table: File for the table; None: not written.
        data: File for the same as JSON; None: not written.
    """
    if table:
        write_atomic(table, findings.table().encode())
    if data:
        write_json(data, findings.as_dict())


def run_rule() -> None:
    """Check the files of a run as the rule names them. What fails is a result like any other: rule
    require_passed makes an error of it.
    """
    configure_logging(snakemake.log[0])
    kinds = ("skeletons", "traces", "renders", "lossmasks", "stats", "rejects")
    paths = [path for kind in kinds for path in snakemake.input[kind]]
    with watched("validate", paths):
        findings = validate(
            paths, load_registry(snakemake.input.registry), snakemake.params.split_by
        )
    logging.getLogger("validate_files").info("checked\n%s", findings.table())
    write_results(findings, snakemake.output.table, snakemake.output.data)


def run_command() -> int:
    """Exit status 0: everything passed; 1: something failed; 2: the files or the registry cannot be
    used.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        help="files (.jsonl, stats .json), or folders of them such as an output base",
    )
    parser.add_argument(
        "--registry",
        type=Path,
        default=POLICY_REGISTRY,
        help="loss mask policy registry that the masks were made with",
    )
    parser.add_argument(
        "--split-by",
        choices=SPLIT_BY,
        default="task",
        help="what the splits of the traces keep together (default %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    arguments = parser.parse_args()
    try:
        findings = validate(arguments.paths, load_registry(arguments.registry), arguments.split_by)
    except (UnknownFile, PolicyError) as error:
        print(f"validate_files: {error}", file=sys.stderr)
        return 2
    write_results(findings, None, arguments.json)
    print(findings.table())
    return 1 if findings.failed else 0


if __name__ == "__main__":
    if "snakemake" in globals():
        run_rule()
    else:
        sys.exit(run_command())
