"""The fill loop against vLLM's own batch call and against one prompt at a time, on one engine in
one run.

usage: python benchmarks/fill/run.py [--model DIR] [--copies N] [--max-tokens N] [--batch-size N]
[--repeats N] [--singles N]

Generates with the real engine (start-up left out of every figure) on the prompts of the demo's B4
records, each in N copies that differ in their last words, DS and DR. Reports completion tokens per
second of each way, how many steps the engine took and how long it stood still between them, how
many completions are the same whatever the batch they ran in, and what weight type costs here.
"""

from __future__ import annotations

import argparse
import array
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "workflow/scripts"))

from cbdata.config import default_settings, resolve_config  # noqa: E402
from cbdata.fill.backends.base import EngineOptions  # noqa: E402
from cbdata.fill.backends.vllm_backend import (  # noqa: E402
    VllmBackend,
    VllmEngine,
    on_cpu_build,
)
from cbdata.fill.environment import prepare_environment  # noqa: E402
from cbdata.fill.models import find_model  # noqa: E402
from cbdata.fill.plan import prompt_messages  # noqa: E402
from cbdata.fill.progress_store import ProgressStore, Stored  # noqa: E402
from cbdata.fill.requests import Request, Sampling, WorkItem, by_shared_prefix  # noqa: E402
from cbdata.fill.runner import Runner, StopFlag  # noqa: E402
from cbdata.fill.settings import FillSettings, RuntimeSettings  # noqa: E402
from cbdata.jsonl import read_records  # noqa: E402
from cbdata.judge.judgement import Judgement, judge  # noqa: E402
from cbdata.render.renderer import Renderer  # noqa: E402
from cbdata.render.settings import RenderSettings  # noqa: E402
from cbdata.sources.fujitsu_b4 import convert  # noqa: E402
from cbdata.stage import StageFiles  # noqa: E402
from cbdata.tools import ToolSchema, load_tool_schema  # noqa: E402

TOOLS = REPO / "configs/tool_schemas/demo_v1.json"
RAW = REPO / "config/demo/fujitsu_b4.jsonl"
Outputs = dict[tuple[str, str], tuple[int, ...]]


@dataclass
class WayResult:
    """Seconds and completions by (trace id, mode) of one way through some requests.

    ``cpu_seconds`` of this process, which on the CPU build is all of the engine: a figure that
    other work on the machine moves less. ``steps`` of the engine, and ``between_s``, the seconds
    outside them. With equal steps, the latter are all that one way can cost more.
    """

    seconds: float
    cpu_seconds: float
    outputs: Outputs
    steps: int
    between_s: float

    @property
    def tokens(self) -> int:
        return sum(map(len, self.outputs.values()))

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def tokens_per_cpu_second(self) -> float:
        return self.tokens / self.cpu_seconds


def make_items(
    renderer: Renderer, tools: ToolSchema, settings: FillSettings, copies: int
) -> list[WorkItem]:
    """The demo's records as items, each in ``copies`` that share all but the end of
    their prompt.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "skeletons.jsonl"
        convert(
            [RAW],
            tool_schemas=[TOOLS],
            split="train",
            outputs=StageFiles.of(out, out.with_suffix(".r"), out.with_suffix(".s")),
            max_reject_fraction=0.5,
        )
        skeletons = [record for _, record in read_records(out)]
    items = []
    for line, skeleton in enumerate(skeletons, start=1):
        for mode in settings.modes:
            if mode == "dr" and skeleton["signal_hints"].get("injection_char_span") is None:
                continue
            messages = prompt_messages(skeleton, mode, settings)
            for copy in range(copies):
                asked = [
                    *messages[:-1],
                    {**messages[-1], "content": f"{messages[-1]['content']}\n(request {copy + 1})"},
                ]
                prompt = renderer.prompt(asked, list(tools.tools))
                ids = array.array("I", prompt.ids)
                items.append(
                    WorkItem(
                        f"{skeleton['id']}-{copy}",
                        line,
                        mode,
                        ids,
                        prompt.sha256,
                        Sampling(settings, mode, {}),
                    )
                )
    return items


class Bench:
    """One engine, and the ways to send it requests."""

    def __init__(self, engine: VllmEngine, renderer: Renderer, tools: ToolSchema) -> None:
        self.engine, self.renderer, self.tools = engine, renderer, tools
        self.step_seconds: list[float] = []
        step = engine._engine.step

        def timed_step() -> object:
            began = time.perf_counter()
            try:
                return step()
            finally:
                self.step_seconds.append(time.perf_counter() - began)

        engine._engine.step = timed_step

    def _timed(self, work: Callable[[], Outputs]) -> WayResult:
        self.engine._llm.reset_prefix_cache()
        self.step_seconds.clear()
        began, began_cpu = time.perf_counter(), time.process_time()
        outputs = work()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
        return WayResult(
            seconds, cpu_seconds, outputs, len(self.step_seconds), seconds - sum(self.step_seconds)
        )

    def fill(self, items: Sequence[WorkItem]) -> WayResult:
        """The fill loop as a job runs it, progress store and judge included."""

        def verdict(item: WorkItem, stored: Stored) -> Judgement:
            return judge(
                stored.text,
                finish_reason=stored.finish_reason,
                mode=item.mode,
                expected_tool="retrieve_multimodal_docs",
                simulated_tool="search_web",
                tool_schema=self.tools,
            )

        with (
            tempfile.TemporaryDirectory(dir=REPO / "scratch") as folder,
            ProgressStore(folder, "bench") as store,
        ):
            # Not entered: at its end it would shut the engine down.
            runner = Runner(
                items,
                store=store,
                judge=verdict,
                attempts=1,
                open_engine=lambda: self.engine,
                decode=self.renderer.decode,
                stop=StopFlag(),
            )
            return self._timed(
                lambda: {
                    (each.item.trace_id, each.item.mode): each.tries[-1][0].token_ids
                    for each in runner.run()
                }
            )

    def bare(self, requests: Sequence[Request]) -> WayResult:
        """vLLM's own batch call on the same prompts and parameters, in the same order."""

        def work() -> Outputs:
            prompts = [{"prompt_token_ids": list(request.prompt_ids)} for request in requests]
            answers = self.engine._llm.generate(
                prompts, [self.engine.parameters(request) for request in requests], use_tqdm=False
            )
            return {
                (request.trace_id, request.mode): tuple(answer.outputs[0].token_ids)
                for request, answer in zip(requests, answers, strict=True)
            }

        return self._timed(work)

    def one_by_one(self, requests: Sequence[Request]) -> WayResult:
        """One prompt a call, the next when it is done."""

        def work() -> Outputs:
            outputs = {}
            for request in requests:
                prompt = {"prompt_token_ids": list(request.prompt_ids)}
                (answer,) = self.engine._llm.generate(
                    [prompt], self.engine.parameters(request), use_tqdm=False
                )
                outputs[request.trace_id, request.mode] = tuple(answer.outputs[0].token_ids)
            return outputs

        return self._timed(work)


def same_share(first: Outputs, second: Outputs) -> str:
    """How many of the completions that both have are equal token for token."""
    common = first.keys() & second.keys()
    same = sum(first[key] == second[key] for key in common)
    return f"{same} of {len(common)} ({same / len(common):.1%})"


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
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--singles",
        type=int,
        default=24,
        help="requests of the one-at-a-time loop, spread over all",
    )
    options = parser.parse_args()

    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    scratch = prepare_environment(True, None, VllmBackend().environment())
    config = resolve_config(
        {
            "model": options.model,
            "max_tokens": options.max_tokens,
            "batch_size": options.batch_size,
            "enforce_eager": on_cpu_build(),
        }
    )
    settings, runtime = FillSettings.of(config), RuntimeSettings.of(config)
    tools = load_tool_schema(TOOLS)
    model = find_model(options.model, None, None, offline=True)
    renderer = Renderer.load(default_settings(RenderSettings, tokenizer=str(model.path)))
    items = make_items(renderer, tools, settings, options.copies)
    requests = by_shared_prefix(item.request(1) for item in items)
    longest = max(len(item.prompt_ids) for item in items) + settings.max_tokens
    began = time.perf_counter()
    engine = VllmBackend().open(
        EngineOptions(
            model=model.path,
            runtime=runtime,
            dtype=settings.dtype,
            max_model_len=longest,
            grammar=None,
            seed=settings.seed,
        )
    )
    bench = Bench(engine, renderer, tools)
    print(
        f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, load"
        f" {os.getloadavg()[0]:.1f}; vllm {engine.version}"
    )
    mean = statistics.mean(len(item.prompt_ids) for item in items)
    print(
        f"{len(requests)} requests, {mean:.0f} prompt tokens each, at most {settings.max_tokens}"
        f" more; {options.batch_size} in flight"
    )
    print(f"engine started in {time.perf_counter() - began:.1f} s (in no figure below)")
    bench.bare(requests[: options.batch_size])  # warm-up

    sys.stdout.flush()
    ratios, cpu_ratios, between = [], [], []
    for repeat in range(options.repeats):
        if repeat % 2:
            bare = bench.bare(requests)
            fill = bench.fill(items)
        else:
            fill = bench.fill(items)
            bare = bench.bare(requests)
        ratios.append(fill.tokens_per_second / bare.tokens_per_second)
        cpu_ratios.append(fill.tokens_per_cpu_second / bare.tokens_per_cpu_second)
        between.append((fill.between_s / fill.seconds, bare.between_s / bare.seconds))
        print(
            f"  fill {fill.tokens_per_second:.1f} tokens/s in {fill.steps} steps, bare LLM.generate"
            f" {bare.tokens_per_second:.1f} tokens/s in {bare.steps} steps, ratio {ratios[-1]:.3f}",
            flush=True,
        )
    singles = bench.one_by_one(requests[:: max(1, len(requests) // options.singles)])
    print(
        f"fill / bare LLM.generate: median {statistics.median(ratios):.3f}, from {min(ratios):.3f}"
        f" to {max(ratios):.3f} (target 0.97)"
    )
    print(
        f"  by CPU time: median {statistics.median(cpu_ratios):.3f}, from {min(cpu_ratios):.3f} to"
        f" {max(cpu_ratios):.3f}"
    )
    fill_between, bare_between = (
        statistics.median(shares) for shares in zip(*between, strict=True)
    )
    print(
        f"time between the engine's steps: fill {fill_between:.2%}, bare LLM.generate"
        f" {bare_between:.2%} (medians)"
    )
    print(
        f"one prompt at a time: {singles.tokens_per_second:.1f} tokens/s on {len(singles.outputs)}"
        " requests",
        end="; ",
    )
    faster, by_cpu = (
        fill.tokens_per_second / singles.tokens_per_second,
        fill.tokens_per_cpu_second / singles.tokens_per_cpu_second,
    )
    print(
        f"fill is {faster:.1f} times as fast, {by_cpu:.1f} times by CPU time (target 5)", flush=True
    )
    shuffled = bench.bare(sorted(requests, key=lambda request: request.seed))
    print("completions equal token for token, same seeds:")
    print(f"  fill and bare call: {same_share(fill.outputs, bare.outputs)}")
    print(f"  other neighbours (shuffled order): {same_share(bare.outputs, shuffled.outputs)}")
    print(f"  alone and in a batch: {same_share(bare.outputs, singles.outputs)}")
    greedy = [replace(request, temperature=0.0) for request in requests[::3]]
    print(
        "  greedy, other neighbours:"
        f" {same_share(bench.bare(greedy).outputs, bench.bare(greedy[::-1]).outputs)}"
    )
    if on_cpu_build():
        print("matrix product of 64 x 576 by 576 x 49152 on this CPU:")
        weight_type_costs()
    sys.stdout.flush()
    engine.close()
    shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    os._exit(main())
