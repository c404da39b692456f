"""Which of the four shapes of a fill run fits a model and a site: a shard for each engine, several
engines in a job, one engine over several nodes, or a server that runs already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cbdata.fill.model_size import ModelSize, splits
from cbdata.fill.sizing import RunCost, ShardCountError, choose

ShapeName = Literal["shard per engine", "engines per job", "nodes per engine", "endpoint"]

USABLE_MEMORY = 0.85
"""Part of a GPU's memory for weights and cache: vLLM takes 0.92 of it, and some of that goes into
activations and compiled graphs.
"""

FULL_REQUESTS = 32
"""So many requests of the full context shall have room in the cache: with fewer at once, reading
the weights is most of what a GPU does.
"""


@dataclass(frozen=True)
class Site:
    """What a site gives.

    ``gpu_bytes`` of memory has each GPU, ``gpus_per_node`` has each node (0: none), ``free_gpus``
    can be had at once. ``whole_nodes`` says that jobs get all GPUs of their nodes, ``served`` that
    a server of the model runs. ``limit_s`` is the time limit of a job in seconds.
    """

    gpu_bytes: float
    gpus_per_node: int
    free_gpus: int
    whole_nodes: bool
    served: bool
    limit_s: float


@dataclass(frozen=True)
class Shape:
    """One way to run. ``problem`` says why it cannot be; then the numbers say nothing.

    ``job_gpus`` are those that a job holds, ``engines`` work at once, ``shards`` is fill_shards,
    ``total_s`` are the seconds that the whole run takes without waiting in the queue (None where a
    server decides).
    """

    name: ShapeName
    tensor_parallel: int = 1
    engines_per_job: int = 1
    nodes_per_engine: int = 1
    job_gpus: int = 0
    engines: int = 0
    shards: int = 0
    total_s: float | None = None
    problem: str = ""


def needed_bytes(model: ModelSize, context: int) -> int:
    """Memory of one engine in bytes: the weights, and a cache for FULL_REQUESTS requests.

    Args:
        model: The model.
        context: The longest prompt with its completion, in tokens.
    """
    return model.weight_bytes + FULL_REQUESTS * context * model.cache_bytes


def bytes_of_each_gpu(model: ModelSize, context: int, tensor_parallel: int) -> float:
    """Memory that an engine takes of each GPU in bytes. The cache is divided by key-value heads:
    more GPUs than those hold copies.

    Args:
        model: The model.
        context: The longest prompt with its completion, in tokens.
        tensor_parallel: GPUs that share each layer. The layers may be divided among nodes besides,
            which divides the result.
    """
    cache = needed_bytes(model, context) - model.weight_bytes
    return model.weight_bytes / tensor_parallel + cache / min(tensor_parallel, model.kv_heads)


def node_sizes(model: ModelSize, gpus_per_node: int) -> list[int]:
    """Values that tensor_parallel can have on a node, the least first."""
    counts = range(1, gpus_per_node + 1)
    return [count for count in counts if splits(model.heads, model.kv_heads, count)]


def shapes(
    model: ModelSize, context: int, site: Site, run: RunCost, measured_gpus: int = 1
) -> list[Shape]:
    """Reckon the four shapes.

    An engine on more GPUs is taken to be faster in proportion, and to load in the same time.

    Args:
        model: The model.
        context: The longest prompt with its completion, in tokens.
        site: What the site gives.
        run: What the whole run costs: skeletons, seconds of generation, and seconds to load an
            engine.
        measured_gpus: GPUs of the engine that was measured.
    """
    usable = USABLE_MEMORY * site.gpu_bytes
    sizes = node_sizes(model, site.gpus_per_node)
    each = {size: bytes_of_each_gpu(model, context, size) for size in sizes}
    fits = [size for size in sizes if each[size] <= usable]

    def reckoned(shape: Shape) -> Shape:
        return _timed(shape, site, run, measured_gpus)

    found: list[Shape] = []
    if fits:
        one, per_job = fits[0], site.gpus_per_node // fits[0]
        held = site.gpus_per_node if site.whole_nodes else one
        found.append(reckoned(Shape("shard per engine", one, job_gpus=held)))
        if per_job > 1:
            held = site.gpus_per_node if site.whole_nodes else one * per_job
            found.append(reckoned(Shape("engines per job", one, per_job, job_gpus=held)))
        else:
            found.append(Shape("engines per job", problem="a node has GPUs for one engine alone"))
    else:
        why = _too_large(each, usable)
        found += [Shape("shard per engine", problem=why), Shape("engines per job", problem=why)]
    if not sizes:
        found.append(Shape("nodes per engine", problem="nodes have no GPU"))
    elif fits:
        found.append(Shape("nodes per engine", problem="one node holds the model, and is faster"))
    else:
        widest = sizes[-1]
        nodes = math.ceil(each[widest] / usable)
        held = nodes * (site.gpus_per_node if site.whole_nodes else widest)
        shape = Shape("nodes per engine", widest, nodes_per_engine=nodes, job_gpus=held)
        if nodes > model.layers:
            shape = replace(shape, problem=f"{nodes} nodes share {model.layers} layers")
        found.append(shape if shape.problem else reckoned(shape))
    found.append(Shape("endpoint", problem="" if site.served else "no server of the model runs"))
    return found


def best(found: list[Shape], whole_nodes: bool) -> Shape | None:
    """The shape to take: a server where one runs; where jobs get whole nodes, what is done first;
    else the simplest, for then a job holds what it uses. None where none fits.

    Args:
        found: The shapes, the simplest first.
        whole_nodes: Whether jobs get all GPUs of their nodes.
    """
    possible = [shape for shape in found if not shape.problem]
    if served := [shape for shape in possible if shape.name == "endpoint"]:
        return served[0]
    if whole_nodes:
        return min(possible, key=lambda shape: shape.total_s or 0.0, default=None)
    return next(iter(possible), None)


def shape_table(found: list[Shape], whole_nodes: bool) -> str:
    """A Markdown table of shapes, the one to take marked.

    Args:
        found: The shapes, the simplest first.
        whole_nodes: Whether jobs get all GPUs of their nodes.
    """
    taken = best(found, whole_nodes)
    lines = [
        "|  | shape | settings | GPUs of a job | engines at once | fill_shards | all take |",
        "|---|---|---|---|---|---|---|",
    ]
    for shape in found:
        mark = "take" if shape is taken else ""
        if shape.problem:
            lines.append(f"|  | {shape.name} | no: {shape.problem} | | | | |")
        elif shape.total_s is None:
            lines.append(f"| {mark} | {shape.name} | backend=endpoint | 0 | the server's | | |")
        else:
            given = {
                "tensor_parallel": shape.tensor_parallel,
                "engines_per_job": shape.engines_per_job,
                "nodes_per_engine": shape.nodes_per_engine,
            }
            words = " ".join(f"{key}={value}" for key, value in given.items() if value > 1)
            lines.append(
                f"| {mark} | {shape.name} | {words or 'the defaults'} | {shape.job_gpus} |"
                f" {shape.engines} | {shape.shards} | {shape.total_s / 3600:.2f} h |"
            )
    return "\n".join(lines)


def _too_large(each: Mapping[int, float], usable: float) -> str:
    if not each:
        return "nodes have no GPU"
    widest = max(each)
    return (
        f"with tensor_parallel={widest} weights and cache take {each[widest] / 1e9:.1f} GB of each"
        f" GPU, which has {usable / 1e9:.1f} GB for them"
    )


def _timed(shape: Shape, site: Site, run: RunCost, measured_gpus: int) -> Shape:
    """A shape with its engines at once, shards and time."""
    jobs = site.free_gpus // shape.job_gpus
    if not jobs:
        return replace(
            shape, problem=f"a job takes {shape.job_gpus} GPUs, {site.free_gpus} are free"
        )
    engines = jobs * shape.engines_per_job
    gpus = shape.tensor_parallel * shape.nodes_per_engine
    scaled = replace(run, generation_s=run.generation_s * measured_gpus / gpus)
    try:
        sizing = choose(scaled, run.skeletons, engines, site.limit_s)
    except ShardCountError as error:
        return replace(shape, problem=str(error))
    # Each job runs all of its engines, also where fewer would load the model less often.
    shards = math.ceil(sizing.shards / shape.engines_per_job)
    shard_s = run.load_s + scaled.generation_s / (shards * shape.engines_per_job)
    total_s = math.ceil(shards / jobs) * shard_s
    return replace(shape, engines=engines, shards=shards, total_s=total_s)
