"""The fill loop against a bare ``LLM.generate`` of an engine at vLLM's own defaults, and against
one prompt at a time.

usage: python benchmarks/fill/run.py [--model DIR] [--shape NAME] [--copies N] [--max-tokens N]
[--max-num-seqs N] [--dtype TYPE] [--rounds N] [--repeats N] [--singles N] [--batch-invariant]

The prompts are those of the demo's B4 records, DS and DR, each in N copies that differ in their
last words. Each way runs in a process and an engine of its own, one after the other, the rounds in
turn. Reports completion tokens per second, the engine's steps and the time between them, the time
to the first token, how busy a GPU was, how many completions are the same whatever the batch they
ran in, and what weight types cost on this CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shapes import DUMMY, SHAPES, write_shape

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
Results = dict[str, Any]


def run_way(
    way: str, options: argparse.Namespace, model: Path, folder: Path, last: bool
) -> Results:
    """Run one way in a process of its own and return what it wrote."""
    given, out = folder / "options.json", folder / "results.json"
    given.write_text(
        json.dumps(
            {
                "way": way,
                "out": str(out),
                "model": str(model),
                "copies": options.copies,
                "max_tokens": options.max_tokens,
                "max_num_seqs": options.max_num_seqs if way == "fill" else None,
                "dtype": options.dtype,
                "engine_args": DUMMY if options.shape else {},
                "repeats": options.repeats,
                "orders": last and way == "fill",
                "singles": options.singles if last and way == "bare" else 0,
            }
        )
    )
    environ = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"}
    if options.batch_invariant:
        environ["VLLM_BATCH_INVARIANT"] = "1"
    subprocess.run([sys.executable, HERE / "way.py", given], env=environ, check=True)
    results: Results = json.loads(out.read_text())
    return results


def speeds(results: Results, per: str = "seconds") -> list[float]:
    """Completion tokens per second of each pass, or per CPU second."""
    return [each["tokens"] / each[per] for each in results["passes"] if "one_by_one" not in each]


def same(first: dict[str, list[int]], second: dict[str, list[int]]) -> str:
    """How many of the completions that both have are equal token for token."""
    common = first.keys() & second.keys()
    equal = sum(first[key] == second[key] for key in common)
    return f"{equal} of {len(common)}"


def describe(way: str, results: Results) -> None:
    """Print one process's figures."""
    between = [each["between_s"] / each["seconds"] for each in results["passes"]]
    print(
        f"  {way}: {', '.join(f'{speed:.1f}' for speed in speeds(results))} tokens/s;"
        f" {results['at_once']} at once; {results['passes'][0]['steps']:.0f} steps,"
        f" {statistics.median(between):.2%} of the time between them; engine loaded after"
        f" {results['load_s']:.1f} s, first token after {results['first_token_s']:.1f} s"
    )
    if results["gpu"]:
        print(
            f"    GPU: idle in {results['gpu']['idle_share']:.1%} of the samples, mean utilisation"
            f" {results['gpu']['mean_percent']:.0f} %"
        )
    sys.stdout.flush()


def compare(rounds: list[tuple[Results, Results]]) -> None:
    """Print the ratios of all rounds, and the completions of the last one side by side."""
    for name, per in (("by the clock", "seconds"), ("by CPU time", "cpu_seconds")):
        ratios = [
            statistics.median(speeds(fill, per)) / statistics.median(speeds(bare, per))
            for fill, bare in rounds
        ]
        print(
            f"fill / bare LLM.generate at vLLM's defaults, {name}: median"
            f" {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}"
        )
    fill, bare = rounds[-1]
    (alone,) = [each for each in bare["passes"] if "one_by_one" in each]
    speed = alone["tokens"] / alone["seconds"]
    faster = statistics.median(speeds(fill)) / speed
    print(f"one prompt at a time: {speed:.1f} tokens/s; fill is {faster:.1f} times as fast")
    print("completions equal token for token, same seeds:")
    ours, theirs = fill["outputs"], bare["outputs"]
    print(f"  fill and bare call: {same(ours['in order'], theirs['in order'])}")
    print(f"  other neighbours (shuffled order): {same(ours['in order'], ours['shuffled'])}")
    print(f"  alone and in a batch: {same(theirs['in order'], theirs['one by one'])}")
    print(f"  greedy, other neighbours: {same(ours['greedy'], ours['greedy, in reverse'])}")


def weight_type_costs() -> None:
    """Print what one large matrix product costs in float32 and bfloat16 on this CPU."""
    import torch

    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.randn(64, 576, dtype=dtype), torch.randn(49152, 576, dtype=dtype)
        torch.nn.functional.linear(left, right)
        began, rounds = time.perf_counter(), 0
        while time.perf_counter() - began < 1:
            torch.nn.functional.linear(left, right)
            rounds += 1
        seconds = (time.perf_counter() - began) / rounds
        print(f"  {dtype}: {2 * 64 * 576 * 49152 / seconds / 1e9:.1f} GFLOP/s")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=str(REPO / "scratch/cache/models/SmolLM2-135M-Instruct"))
    parser.add_argument("--shape", choices=SHAPES, help="random weights, with --model's tokenizer")
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--max-num-seqs", type=int, help="of the fill loop; vLLM's default without")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--rounds", type=int, default=2, help="engines started for each way")
    parser.add_argument("--repeats", type=int, default=2, help="passes of each engine")
    parser.add_argument("--singles", type=int, default=24, help="requests sent one at a time")
    parser.add_argument(
        "--batch-invariant", action="store_true", help="vLLM's batch-invariant mode (GPUs)"
    )
    options = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, load"
        f" {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    (REPO / "scratch").mkdir(exist_ok=True)
    rounds: list[tuple[Results, Results]] = []
    with tempfile.TemporaryDirectory(dir=REPO / "scratch") as name:
        folder, model = Path(name), Path(options.model)
        if options.shape:
            model = write_shape(options.shape, model, folder / options.shape)
        for number in range(options.rounds):
            ways = ("bare", "fill") if number % 2 else ("fill", "bare")
            last = number == options.rounds - 1
            found = {way: run_way(way, options, model, folder, last) for way in ways}
            if not rounds:
                fill = found["fill"]
                print(
                    f"{fill['version']}; weights in {fill['dtype']}; {fill['requests']} requests,"
                    f" {fill['prompt_tokens'] / fill['requests']:.0f} prompt tokens each, at most"
                    f" {options.max_tokens} more"
                )
            for way, results in found.items():
                describe(way, results)
            rounds.append((found["fill"], found["bare"]))
    compare(rounds)
    if "CPU build" in rounds[-1][0]["version"]:
        print("matrix product of 64 x 576 by 576 x 49152 on this CPU:")
        weight_type_costs()
    return 0


if __name__ == "__main__":
    sys.exit(main())
