"""Every chat template of some folders against transformers: what is rendered, what is rejected,
and which rows have spans that are wrong.

usage: python benchmarks/templates/run.py [FOLDER ...] [--tokenizers FOLDER] [--sample 32]

A FOLDER holds chat templates (*.jinja); without one, TRL's are taken if TRL is installed. Each is
put on the tokenizer that has most of its control tokens; those that it lacks are appended.
``--out`` writes the table as Markdown and every difference as JSON Lines beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "workflow" / "scripts")]
WORK = ROOT / "scratch" / "bench" / "templates"
SHARED = ROOT.parent / "shared"


def trl_templates() -> list[Path]:
    """The folder of TRL's templates, if TRL is installed."""
    spec = importlib.util.find_spec("trl")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return [Path(place) / "chat_templates" for place in places]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, help="folders of chat templates")
    parser.add_argument("--tokenizers", type=Path, default=SHARED / "tokenizers")
    parser.add_argument("--transcripts", type=Path, default=SHARED / "data" / "agentdojo")
    parser.add_argument("--sample", type=int, default=32, help="transcripts each; 0 takes all")
    parser.add_argument("--only", default="", help="a regular expression that names must match")
    parser.add_argument("--tokenizer", help="put every template on this tokenizer")
    parser.add_argument("--out", type=Path, default=WORK / "table.md")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=JSON", help="render settings, for a comparison"
    )
    return parser.parse_args()


def sources(folders: Sequence[Path], tokenizers: Sequence, only: str) -> dict[str, str]:
    """The templates to try, by name: the folders' and the tokenizers' own."""
    found = {
        f"{tokenizer.name} (own)": tokenizer.own_template
        for tokenizer in tokenizers
        if tokenizer.own_template
    }
    for folder in folders:
        for file in sorted(folder.glob("**/*.jinja")):
            name = file.stem if file.stem not in found else f"{file.stem} ({folder.name})"
            found[name] = file.read_text(encoding="utf-8")
    return {name: source for name, source in found.items() if re.search(only, name)}


def main() -> None:
    from conversations import load_tools, load_traces, sample
    from prepare import BaseTokenizer, best_tokenizer
    from reference import stop_the_clock
    from table import markdown, summary
    from trial import try_template

    logging.disable(logging.WARNING)
    arguments = parse()
    for option in ("tokenizers", "transcripts"):
        if not (place := getattr(arguments, option)).exists():
            # `make bench` has no others to give, and goes on.
            print(f"not run: {place} is not there; --{option} names a folder of them")
            return
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    stop_the_clock()
    tokenizers = [
        BaseTokenizer(folder)
        for folder in sorted(arguments.tokenizers.iterdir())
        if (folder / "tokenizer.json").is_file()
        and (not arguments.tokenizer or folder.name == arguments.tokenizer)
    ]
    tools = load_tools(ROOT)
    traces = sample(load_traces(arguments.transcripts, ROOT, folder), arguments.sample)
    changes = dict(pair.split("=", 1) for pair in arguments.set)
    settings = {key: json.loads(value) for key, value in changes.items()}
    templates = sources(arguments.folders or trl_templates(), tokenizers, arguments.only)
    print(f"{len(templates)} templates, {len(traces)} transcripts each (four forms of each)")
    results = []
    with open(arguments.out.with_suffix(".jsonl"), "w", encoding="utf-8") as details:
        for name, source in templates.items():
            begun = time.perf_counter()
            own = [each for each in tokenizers if f"{each.name} (own)" == name]
            base = own[0] if own else best_tokenizer(source, tokenizers)
            result = try_template(name, source, base, traces, tools, folder, settings)
            results.append(result)
            print(f"{time.perf_counter() - begun:5.1f} s  {summary(result)}", flush=True)
            details.writelines(
                json.dumps(line, ensure_ascii=False) + "\n" for line in result.details()
            )
    shutil.rmtree(folder)
    table = markdown(results)
    arguments.out.write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {arguments.out}")


if __name__ == "__main__":
    main()
