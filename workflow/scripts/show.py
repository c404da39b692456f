"""Show one trace of a run with its loss mask in the terminal.

TRACE is a trace id, the beginning of one, or N for the N-th row of a data set. In a pipe the
output is plain text: tokens with loss stand in ⟪ ⟫, with their weight where it is not 1, and
twins one after the other.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from cbdata.lossmask.registry import load_registry
from cbdata.report.vocabulary import load_vocabulary
from cbdata.terminal.find import NotFoundError, find
from cbdata.terminal.tokenizer import find_tokenizer
from cbdata.terminal.view import Look, legend, seen, twins, view

DEFAULT_RUN = Path(os.environ.get("CB_SCRATCH", "scratch"), "data")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", metavar="TRACE", help="a trace id, its beginning, or a number")
    parser.add_argument("--run", type=Path, default=DEFAULT_RUN, help="the run's output_base")
    parser.add_argument("--data", help="the data set, e.g. fujitsu_b4_ds")
    parser.add_argument("--policy", help="another policy than the run's, e.g. tool_calls_only")
    parser.add_argument("--twin", action="store_true", help="beside it the other completion")
    parser.add_argument("--ids", action="store_true", help="a line for each token")
    parser.add_argument("--tokenizer", help="the tokenizer's directory, if it is not a hub id")
    parser.add_argument("--cache-dir", help="where hub ids are looked up")
    return parser.parse_args()


def main() -> int:
    """Exit status 0: shown; 2: not found, with the reason."""
    given = arguments()
    registry = load_registry()
    try:
        found = [find(given.run, given.trace, given.data, given.policy, registry)]
        if given.twin:
            twin = found[0].trace["links"].get("paired_trace_id")
            if twin is None:
                raise NotFoundError(f"{found[0].trace['id']} has no twin")
            found.append(find(given.run, twin, None, given.policy, registry))
        folder = find_tokenizer(given.run, found[0].render, given.tokenizer, given.cache_dir)
        vocabulary = load_vocabulary(folder)
    except (OSError, ValueError) as error:
        # The message may quote a file of any content.
        print(seen(str(error)), file=sys.stderr)
        return 2
    console = Console(highlight=False, soft_wrap=False)
    look = Look(brackets=not console.is_terminal, ids=given.ids)
    shown = [view(each, vocabulary, look) for each in found]
    if console.is_terminal:
        console.print(legend())
    if len(shown) == 1 or look.brackets:
        for number, each in enumerate(shown):
            if number:
                console.print()
            console.print(each, soft_wrap=look.brackets)
    else:
        console.print(twins(*shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
