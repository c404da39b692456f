"""Print which fill_shards to choose, from the stats of a small fill run with the same model on the
same GPUs.

For example after `snakemake --profile slurm --config limit=500 -- fill`: python
workflow/scripts/choose_fill_shards.py $CB_SCRATCH/data/stats/fill/fujitsu_b4_ds.json --skeletons
13246 --gpus 4 8

Of a run of several skeleton sets, give a stats file and a number of skeletons for each.
"""

import argparse
import sys
from pathlib import Path

import orjson

from cbdata.fill.sizing import RunCost, ShardCountError, choose, run_cost, whole_run


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


def main() -> int:
    """Return the exit status: 0, or 1 if the stats file cannot be used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "stats",
        type=Path,
        nargs="+",
        help="stats/fill/<name>.json of either mode, one file for each skeleton set",
    )
    parser.add_argument(
        "--skeletons",
        type=int,
        nargs="+",
        required=True,
        help="records of each whole skeleton file (stats/etl_a/<name>.json)",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        nargs="+",
        default=[1, 4, 8],
        help="engines at once: GPUs that are free for you / tensor_parallel",
    )
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 4, 24], help="time limits")
    options = parser.parse_args()
    if min([*options.skeletons, *options.gpus, *options.hours]) <= 0:
        parser.error("--skeletons, --gpus and --hours must be above 0")
    if len(options.skeletons) != len(options.stats):
        parser.error("give as many numbers of --skeletons as stats files")
    try:
        runs = [run_cost(orjson.loads(path.read_bytes()), str(path)) for path in options.stats]
        print(table(runs, options.skeletons, options.gpus, options.hours))
    except (OSError, orjson.JSONDecodeError, ShardCountError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
