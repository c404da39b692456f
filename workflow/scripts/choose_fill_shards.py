"""Print which fill_shards to choose, from the stats of a small fill run with the same model on the
same GPUs.

For example after `snakemake --profile slurm --config limit=500 -- fill`: python
workflow/scripts/choose_fill_shards.py $CB_SCRATCH/data/stats/fill/fujitsu_b4_ds.json --skeletons
13246 --gpus 4 8

Of a run of several skeleton sets, give a stats file and a number of skeletons for each. With
--model and --max-model-len it also says which shape of job fits: a shard for each engine, several
engines in a job, an engine over several nodes, or a server that runs. Where nothing was measured
yet, give --tokens-per-second, --tokens-per-skeleton and --load-seconds in place of the stats files.
"""

import argparse
import math
import sys
from pathlib import Path

import orjson

from cbdata.fill.model_size import model_size
from cbdata.fill.models import ModelMissing, context_length, read_config
from cbdata.fill.shapes import FULL_REQUESTS, Site, needed_bytes, shape_table, shapes
from cbdata.fill.sizing import RunCost, ShardCountError, choose, run_cost, whole_run

DECLARED = ("tokens_per_second", "tokens_per_skeleton", "load_seconds")
"""Options in place of stats files."""

OF_A_SHAPE = (
    *("max_model_len", "cache_type_bytes", "gpu_memory", "gpus_per_node", "free_gpus"),
    *("measured_gpus", "whole_nodes", "served"),
)
"""Options that do something with --model alone."""

MAY_BE_0 = ("load_seconds", "gpus_per_node", "whole_nodes", "served")


def table(runs: list[RunCost], skeletons: list[int], gpus: list[int], hours: list[float]) -> str:
    """Return a Markdown table with a row for each number of engines and time limit.

    Args:
        runs: What the small run of each skeleton set has cost.
        skeletons: Skeletons of each set in the whole run.
        gpus: Numbers of engines at once.
        hours: Time limits of a job, in hours.
    """
    run = whole_run(runs, skeletons)
    lines = [
        f"measured: {each.skeletons} skeletons, {each.generation_s / each.skeletons:.3g} s of"
        f" generation each, {each.load_s:.0f} s to load the model"
        for each in runs
    ]
    lines += [
        f"{run.skeletons} skeletons: {run.generation_s / 3600:.1f} h of generation in all",
        "",
        (
            "| engines at once | time limit | fill_shards | at least | at most | a shard takes |"
            " all take |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for engines in gpus:
        for limit in hours:
            choice = choose(run, run.skeletons, engines, limit * 3600)
            times = f"{choice.shard_s / 3600:.2f} h | {choice.total_s / 3600:.2f} h"
            lines.append(
                f"| {engines} | {limit:g} h | {choice.shards} | {choice.least} | {choice.most} |"
                f" {times} |"
            )
    return "\n".join(lines)


def shapes_of(options: argparse.Namespace, run: RunCost) -> str:
    """Return what a model takes, and a table of the shapes for each time limit."""
    model = model_size(options.model, options.cache_type_bytes)
    context, most = options.max_model_len, context_length(read_config(options.model))
    if most is not None and context > most:
        raise ShardCountError(f"--max-model-len: {context} is more than the model's own {most}")
    need = needed_bytes(model, context)
    lines = [
        "",
        (
            f"{options.model.name}: weights {model.weight_bytes / 1e9:.1f} GB, cache"
            f" {model.cache_bytes} bytes a token; {need / 1e9:.1f} GB with {FULL_REQUESTS} requests"
            f" of {context} tokens"
        ),
    ]
    for hours in options.hours:
        site = Site(
            gpu_bytes=options.gpu_memory * 1e9,
            gpus_per_node=options.gpus_per_node,
            free_gpus=options.free_gpus or options.gpus_per_node,
            whole_nodes=options.whole_nodes,
            served=options.served,
            limit_s=hours * 3600,
        )
        lines += ["", f"time limit {hours:g} h, {site.free_gpus} GPUs free:", ""]
        found = shapes(model, context, site, run, options.measured_gpus)
        lines.append(shape_table(found, site.whole_nodes))
    return "\n".join(lines)


def costs(options: argparse.Namespace) -> list[RunCost]:
    """Return what was measured, or declared in its place. Raises ShardCountError."""
    declared = [getattr(options, name) for name in DECLARED]
    if options.stats:
        return [run_cost(orjson.loads(path.read_bytes()), str(path)) for path in options.stats]
    if None in declared:
        raise ShardCountError(
            "give stats files, or --tokens-per-second, --tokens-per-skeleton and --load-seconds"
        )
    per_second, per_skeleton, load_s = declared
    return [
        RunCost(count, count * per_skeleton / per_second, load_s) for count in options.skeletons
    ]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "stats",
        type=Path,
        nargs="*",
        help="stats/fill/<name>.json of either mode, one file for each skeleton set",
    )
    made.add_argument(
        "--skeletons",
        type=int,
        nargs="+",
        required=True,
        help="records of each whole skeleton file (stats/etl_a/<name>.json)",
    )
    made.add_argument(
        "--gpus",
        type=int,
        nargs="+",
        default=[1, 4, 8],
        help="engines at once: GPUs that are free for you / tensor_parallel",
    )
    made.add_argument("--hours", type=float, nargs="+", default=[1, 4, 24], help="time limits")
    declared = made.add_argument_group("in place of stats files")
    declared.add_argument("--tokens-per-second", type=float, help="that one engine writes")
    declared.add_argument("--tokens-per-skeleton", type=float, help="in all modes and attempts")
    declared.add_argument("--load-seconds", type=float, help="start of one engine")
    shape = made.add_argument_group("which shape of job")
    shape.add_argument("--model", type=Path, help="the model's folder; its weights may be missing")
    shape.add_argument(
        "--max-model-len", type=int, help="tokens of the longest prompt with its completion"
    )
    shape.add_argument(
        "--cache-type-bytes", type=int, default=2, choices=(1, 2, 4), help="1 for an fp8 cache"
    )
    shape.add_argument("--gpu-memory", type=float, default=80, help="GB of a GPU")
    shape.add_argument("--gpus-per-node", type=int, default=8)
    shape.add_argument("--free-gpus", type=int, help="at once; those of a node by default")
    shape.add_argument("--measured-gpus", type=int, default=1, help="of the engine measured")
    shape.add_argument("--whole-nodes", action="store_true", help="the site gives whole nodes")
    shape.add_argument("--served", action="store_true", help="a server of the model runs")
    return made


def wrong_options(reads: argparse.ArgumentParser, options: argparse.Namespace) -> str | None:
    """Say which options cannot be, or would do nothing; None if all are right."""

    def given(names: tuple[str, ...]) -> str:
        return ", ".join(
            _option(name) for name in names if getattr(options, name) != reads.get_default(name)
        )

    for name, value in vars(options).items():
        for number in value if isinstance(value, list) else [value]:
            if not isinstance(number, int | float):
                continue
            if not math.isfinite(number) or number < 0:
                return f"{_option(name)}: {number} is no number that is 0 or more"
            if number == 0 and name not in MAY_BE_0:
                return f"{_option(name)}: 0 must be above 0"
    if options.stats and (left_out := given(DECLARED)):
        return f"{left_out}: only without stats files, which say what was measured"
    if options.stats and len(options.skeletons) != len(options.stats):
        return "give as many numbers of --skeletons as stats files"
    if options.model is None and (left_out := given(OF_A_SHAPE)):
        return f"{left_out}: only with --model"
    if options.model is not None and options.max_model_len is None:
        return (
            "--model needs --max-model-len: the longest prompt of your skeletons with its"
            " completion, in tokens (the start of a fill run prints it)"
        )
    return None


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def main() -> int:
    """Return the exit status: 0, or 1 if a file cannot be used."""
    reads = parser()
    options = reads.parse_args()
    if problem := wrong_options(reads, options):
        reads.error(problem)
    try:
        runs = costs(options)
        print(table(runs, options.skeletons, options.gpus, options.hours))
        if options.model:
            print(shapes_of(options, whole_run(runs, options.skeletons)))
    except (OSError, orjson.JSONDecodeError, ShardCountError, ModelMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
