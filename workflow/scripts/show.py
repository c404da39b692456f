"""Show one trace of a run with its loss mask in the terminal.

TRACE is a trace id, the beginning of one, or N for the N-th row of a data set. In a pipe the
tokens with loss stand in brackets, with their weight where it is not 1.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from cbdata.lossmask.registry import load_registry
from cbdata.render.locate import locate_tokenizer
from cbdata.render.tokenizer import load_tokenizer
from cbdata.report.vocabulary import Vocabulary, load_vocabulary
from cbdata.terminal.find import NotFoundError, Shown, find
from cbdata.terminal.view import Look, legend, twins, view

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


def vocabulary_of(shown: Shown, given: argparse.Namespace) -> Vocabulary:
    """The vocabulary that the trace was rendered with. Raises ValueError for another one."""
    folder, _ = locate_tokenizer(given.tokenizer or shown.render["tokenizer_id"], given.cache_dir)
    if load_tokenizer(folder).sha256 != shown.render["tokenizer_sha256"]:
        raise NotFoundError(
            f"{folder}: expected the tokenizer {shown.render['tokenizer_id']} that the trace was"
            " rendered with, found another tokenizer.json. Hint: name its directory with"
            " --tokenizer"
        )
    return load_vocabulary(folder)


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
        vocabulary = vocabulary_of(found[0], given)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(highlight=False, soft_wrap=False)
    look = Look(brackets=not console.is_terminal, ids=given.ids)
    shown = [view(each, vocabulary, look) for each in found]
    if console.is_terminal:
        console.print(legend())
    if len(shown) == 1 or look.brackets:
        for each in shown:
            console.print(each, soft_wrap=look.brackets)
    else:
        console.print(twins(*shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
