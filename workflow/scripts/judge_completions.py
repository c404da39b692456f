"""Judge completions: which tools each calls, and whether it would be a DS or a DR trace.

FILE holds one JSON object a line: text (read as spelled) or token_ids (with --tokenizer),
expected_tool, simulated_tool, and perhaps id, finish_reason and thinking_open (the prompt left a
reasoning block open).
"""

import argparse
import json
import sys

from cbdata.call_formats.registry import ANY, FORMATS
from cbdata.judge.reading import ReadingRules
from cbdata.judge.rows import RowError, RowJudge, read_rows
from cbdata.tools import load_tool_schema


def main() -> int:
    """Exit status 0: every row was judged; 2: a file or a setting cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="completions, JSON Lines")
    parser.add_argument("--tool-schema", required=True, help="the tools that the model was shown")
    parser.add_argument(
        "--format", choices=[ANY, *sorted(FORMATS)], help=f"the model's call format ({ANY})"
    )
    parser.add_argument(
        "--tokenizer", help="a directory: the format is the one of its chat template"
    )
    parser.add_argument("--chat-template", help="a name or a file, with --tokenizer")
    parser.add_argument("--accept-calls-in-prose", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    given = parser.parse_args()
    if given.chat_template and not given.tokenizer:
        parser.error("--chat-template needs --tokenizer")
    if given.format == ANY and given.tokenizer:
        parser.error(f"--format {ANY} reads completions as spelled: leave --tokenizer out")
    try:
        tools = load_tool_schema(given.tool_schema)
        if given.tokenizer:
            rows = RowJudge.of_model(
                tools,
                given.tokenizer,
                given.chat_template,
                given.format,
                given.accept_calls_in_prose,
            )
        else:
            rules = ReadingRules(
                given.format or ANY, accept_calls_in_prose=given.accept_calls_in_prose
            )
            rows = RowJudge(tools, rules)
        for number, row in read_rows(given.file):
            try:
                found = rows.judge(row)
            except RowError as error:
                raise RowError(f"{given.file}: line {number}: {error}") from error
            if given.json:
                print(json.dumps(found))
                continue
            taken = " ".join(mode for mode, yes in found["accepted"].items() if yes) or "rejected"
            print(f"{found.get('id', number)}\t{taken}\t{found['outcome']}\t{found['detail']!a}")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
