"""One engine and one way to send it the benchmark's requests. run.py starts this in a process of
its own, so that each engine has the machine to itself.

usage: python benchmarks/fill/way.py OPTIONS.json
"""

from __future__ import annotations

import array
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "workflow/scripts"))

from gpu_load import GpuLoad  # noqa: E402

from cbdata.config import default_settings, resolve_config  # noqa: E402
from cbdata.fill.backends.base import EngineOptions  # noqa: E402
from cbdata.fill.backends.vllm_arguments import CPU_KV_CACHE_BYTES  # noqa: E402
from cbdata.fill.backends.vllm_backend import (  # noqa: E402
    VllmBackend,
    VllmEngine,
    on_cpu_build,
)
from cbdata.fill.devices import weight_type  # noqa: E402
from cbdata.fill.environment import prepare_environment  # noqa: E402
from cbdata.fill.plan import prompt_messages  # noqa: E402
from cbdata.fill.progress_store import ProgressStore, Stored  # noqa: E402
from cbdata.fill.requests import Request, Sampling, WorkItem, by_shared_prefix  # noqa: E402
from cbdata.fill.runner import Runner, StopFlag  # noqa: E402
from cbdata.fill.settings import FillSettings, RuntimeSettings  # noqa: E402
from cbdata.fill.shard import engine_context  # noqa: E402
from cbdata.jsonl import read_records  # noqa: E402
from cbdata.judge.judgement import Judgement, judge  # noqa: E402
from cbdata.render.renderer import Renderer  # noqa: E402
from cbdata.render.settings import RenderSettings  # noqa: E402
from cbdata.sources.fujitsu_b4 import convert  # noqa: E402
from cbdata.stage import StageFiles  # noqa: E402
from cbdata.tools import ToolSchema, load_tool_schema  # noqa: E402

TOOLS = REPO / "configs/tool_schemas/demo_v1.json"
RAW = REPO / "config/demo/fujitsu_b4.jsonl"
Outputs = dict[str, list[int]]
"""Token ids by trace id and mode, with a slash between them."""


@dataclass(frozen=True)
class WayOptions:
    """What one process does.

    ``way``: the loop of a fill job with this project's engine, or a bare ``LLM.generate`` of an
    engine at vLLM's own defaults. ``out``: where the results go, as JSON. ``orders``: also compare
    completions between orders of the requests, and one by one.
    """

    way: Literal["fill", "bare"]
    out: str
    model: str
    copies: int
    max_tokens: int
    max_num_seqs: int | None
    dtype: str
    engine_args: dict[str, Any]
    repeats: int
    orders: bool
    singles: int


@dataclass
class WayResults:
    """What one process found.

    ``version`` and ``at_once`` of its engine; seconds from the start of the process to the loaded
    engine and to the first token; one entry of ``passes`` for each repeat; how busy the GPU was
    during them; completions by name of the order.
    """

    version: str
    dtype: str
    at_once: int
    requests: int
    prompt_tokens: int
    load_s: float
    first_token_s: float
    passes: list[dict[str, float]] = field(default_factory=list)
    gpu: dict[str, float] | None = None
    outputs: dict[str, Outputs] = field(default_factory=dict)


@dataclass
class WayResult:
    """Seconds and completions of one way through some requests.

    ``cpu_seconds`` of this process, which on the CPU build is all of the engine: a figure that
    other work on the machine moves less. ``steps`` of the engine, and ``between_s``, the seconds
    outside them. With equal steps, the latter are all that one way can cost more.
    """

    seconds: float
    cpu_seconds: float
    outputs: Outputs
    steps: int
    between_s: float

    def figures(self) -> dict[str, float]:
        """Everything but the completions."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "tokens": sum(map(len, self.outputs.values())),
            "steps": self.steps,
            "between_s": self.between_s,
        }


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
                stores=[store],
                judge=verdict,
                attempts=1,
                open_engine=lambda: self.engine,
                decode=self.renderer.decode,
                stop=StopFlag(),
            )
            return self._timed(
                lambda: {
                    f"{each.item.trace_id}/{each.item.mode}": list(each.tries[-1][0].token_ids)
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
                f"{request.trace_id}/{request.mode}": list(answer.outputs[0].token_ids)
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
                name = f"{request.trace_id}/{request.mode}"
                outputs[name] = list(answer.outputs[0].token_ids)
            return outputs

        return self._timed(work)


class BareEngine(VllmEngine):
    """vLLM as ``LLM(model=...)`` gives it, with this project's parameters for each request."""

    def __init__(self, options: EngineOptions) -> None:
        from vllm import LLM

        self._stops = []
        given: dict[str, Any] = {}
        if options.device == "cpu":
            # Without the first, seeded requests die; without the second, it wants nearly all of
            # the main memory; without the third, it compiles for minutes.
            given = {
                "enable_chunked_prefill": False,
                "kv_cache_memory_bytes": CPU_KV_CACHE_BYTES,
                "enforce_eager": True,
                "dtype": options.dtype,
            }
        elif options.dtype != "auto":
            given = {"dtype": options.dtype}
        given |= options.engine.engine_args
        self._llm = LLM(model=str(options.model), seed=options.seed, **given)
        self._engine = self._llm.llm_engine

    def close(self) -> None:
        """Shut the engine's processes down."""
        self._engine.engine_core.shutdown()


def since_start() -> float:
    """Seconds since this process was started, the start of Python and all imports included."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - ticks / os.sysconf("SC_CLK_TCK")


def measure(options: WayOptions) -> None:
    """Load the engine, run the way, write the results."""
    device = "cpu" if on_cpu_build() else "cuda"
    config = resolve_config(
        {
            "model": options.model,
            "max_tokens": options.max_tokens,
            "max_num_seqs": options.max_num_seqs,
            "enforce_eager": device == "cpu",
            "engine_args": options.engine_args,
            "dtype": options.dtype,
        }
    )
    settings, tools = FillSettings.of(config), load_tool_schema(TOOLS)
    model = Path(options.model)
    renderer = Renderer.load(default_settings(RenderSettings, tokenizer=str(model)))
    items = make_items(renderer, tools, settings, options.copies)
    requests = by_shared_prefix(item.request(1) for item in items)
    longest = max(len(item.prompt_ids) for item in items) + settings.max_tokens
    dtype = weight_type(settings.dtype, device)
    opened = EngineOptions(
        model=model,
        runtime=RuntimeSettings.of(config),
        engine=settings.engine,
        device=device,
        dtype=dtype,
        max_model_len=engine_context(longest, 1 << 20),
        seed=settings.seed,
    )
    engine = VllmBackend().open(opened) if options.way == "fill" else BareEngine(opened)
    load_s = since_start()
    bench = Bench(engine, renderer, tools)
    bench.bare([replace(requests[0], max_tokens=1)])
    found = WayResults(
        version=VllmBackend().look(opened.runtime, None).description,
        dtype=dtype,
        at_once=engine._engine.vllm_config.scheduler_config.max_num_seqs,
        requests=len(requests),
        prompt_tokens=sum(len(request.prompt_ids) for request in requests),
        load_s=load_s,
        first_token_s=since_start(),
    )
    bench.bare(requests[:32])  # warm-up
    with GpuLoad() as load:
        for _ in range(options.repeats):
            done = bench.fill(items) if options.way == "fill" else bench.bare(requests)
            found.passes.append(done.figures())
    found.gpu = load.summary()
    found.outputs["in order"] = done.outputs
    if options.orders:
        shuffled = sorted(requests, key=lambda request: request.seed)
        found.outputs["shuffled"] = bench.bare(shuffled).outputs
        greedy = [replace(request, temperature=0.0) for request in requests[::3]]
        found.outputs["greedy"] = bench.bare(greedy).outputs
        found.outputs["greedy, in reverse"] = bench.bare(greedy[::-1]).outputs
    if options.singles:
        alone = bench.one_by_one(requests[:: max(1, len(requests) // options.singles)])
        found.outputs["one by one"] = alone.outputs
        found.passes.append({**alone.figures(), "one_by_one": 1})
    Path(options.out).write_text(json.dumps(asdict(found)), encoding="utf-8")
    engine.close()


def main() -> int:
    options = WayOptions(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    scratch = prepare_environment(True, None, VllmBackend().environment())
    try:
        measure(options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # What an engine's libraries do in their exit handlers can no longer change the status.
    os._exit(status)
