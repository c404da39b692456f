"""How many fill shards a run should have, from what a small run of the same model on the same GPUs
measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

USABLE_TIME = 0.7
"""Part of the time limit that is planned with; the rest is for a slow node and the job's own start.
A shard over its limit resumes anyway.
"""

LOADING_SHARE = 0.1
"""At most this part of the GPU time may go into loading the model again for every shard."""


class ShardCountError(ValueError):
    """No number can be given: says what is missing or too small."""


@dataclass(frozen=True)
class RunCost:
    """What a finished fill run took: ``skeletons`` completed, the seconds of generation of all its
    engines together, and the seconds to load one.
    """

    skeletons: int
    generation_s: float
    load_s: float


@dataclass(frozen=True)
class Sizing:
    """A choice of ``fill_shards``: ``shards`` lies between ``least`` (for the time limit) and
    ``most`` (for the loading), where both can be had.

    ``shard_s`` and ``total_s``: seconds that one shard takes and that all take on the GPUs at once,
    the queue's waiting left out.
    """

    shards: int
    least: int
    most: int
    shard_s: float
    total_s: float


def run_cost(stats: Mapping[str, Any], name: str) -> RunCost:
    """Read what a fill run took from the stats of either of its modes; ``name`` is the file's in
    errors.

    Where the run took over stored completions, its time is scaled up to what generating them too
    would have taken. Raises ShardCountError.
    """
    try:
        counts, throughput = stats["counts"], stats["details"]["throughput"]
        skeletons = counts["records_in"] - counts["not_selected"]
        generated, wanted = throughput["generated"], throughput["generated"] + throughput["reused"]
        seconds, load_s = throughput["seconds"], throughput["load_seconds"] / throughput["shards"]
    except (KeyError, TypeError) as error:
        raise ShardCountError(
            f"{name}: no stats of the fill stage ({error}). Hint: give stats/fill/<name>.json"
        ) from error
    if not generated or not skeletons:
        raise ShardCountError(
            f"{name}: this run generated nothing. Hint: measure with new ones, e.g. --config"
            " limit=500 seed=1"
        )
    return RunCost(skeletons, seconds * wanted / generated, load_s)


def whole_run(runs: Sequence[RunCost], skeletons: Sequence[int]) -> RunCost:
    """What a run of some skeleton sets would cost, whose shards each load one engine for all sets.

    Args:
        runs: What a small run of each set has cost.
        skeletons: Records of the whole of each.
    """
    work = (
        run.generation_s * count / run.skeletons for run, count in zip(runs, skeletons, strict=True)
    )
    return RunCost(sum(skeletons), sum(work), max(run.load_s for run in runs))


def choose(run: RunCost, skeletons: int, gpus: int, limit_s: float) -> Sizing:
    """Say how many shards to take.

    As many as engines, or the least multiple of that which the time limit asks for, as long as
    loading stays below its share; the time limit wins.

    Args:
        run: What a small run of the same model on the same GPUs took.
        skeletons: Records of the whole skeleton file.
        gpus: Engines at once, that is GPUs / tensor_parallel.
        limit_s: The time limit of a job in seconds.

    Raises:
        ShardCountError: The model cannot be loaded within the limit.
    """
    work_s = run.generation_s * skeletons / run.skeletons
    usable_s = USABLE_TIME * limit_s - run.load_s
    if usable_s <= 0:
        raise ShardCountError(
            f"loading takes {run.load_s:.0f} s of a limit of {limit_s:.0f} s. Hint: ask for more"
            " time"
        )
    least = max(1, math.ceil(work_s / usable_s))
    # Never more than there are skeletons: loading may take next to no time.
    may_load_s = LOADING_SHARE * work_s
    most = (
        skeletons
        if skeletons * run.load_s <= may_load_s
        else max(1, math.floor(may_load_s / run.load_s))
    )
    shards = max(least, min(most, math.ceil(least / gpus) * gpus))
    shard_s = run.load_s + work_s / shards
    return Sizing(shards, least, most, shard_s, math.ceil(shards / gpus) * shard_s)
