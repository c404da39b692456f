"""transformers' ``generate`` on left-padded batches, for machines without vLLM."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from cbdata.fill.backends.base import (
    EngineHere,
    EngineOptions,
    Generated,
    Needs,
    Refusal,
    RequestQueue,
)
from cbdata.fill.backends.fixes import FOR_GPUS, FOR_THE_CPU, FORCE_CPU, no_gpu, wasted_gpu
from cbdata.fill.devices import describe_cpu, describe_gpus, torch_sees, why_no_gpu
from cbdata.fill.requests import Request
from cbdata.fill.settings import EngineSettings, RuntimeSettings
from cbdata.records import BackendName


class TransformersBackend:
    """``backend: transformers`` (``use_vllm: false``). One GPU if there is one, else the CPU."""

    name: BackendName = "transformers"
    loads_weights = True

    def needs(self, runtime: RuntimeSettings) -> Needs:
        """See Backend.needs."""
        return Needs.with_gpus(1)

    def environment(self) -> Mapping[str, str]:
        """See Backend.environment."""
        return {}

    def option_problems(self, engine: EngineSettings, runtime: RuntimeSettings) -> list[str]:
        """See Backend.option_problems."""
        return [
            f"{key}: the transformers backend has no such option. Fix: leave it out, or set"
            " backend=vllm"
            for key in engine.given
        ]

    def look(self, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        """See Backend.look."""
        missing = [
            name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
        ]
        if missing:
            return EngineHere(
                "cpu",
                "transformers is not installed",
                f"{' and '.join(missing)} cannot be imported, which the backend transformers needs."
                f" Fix: for GPUs {FOR_GPUS}; for the CPU {FOR_THE_CPU}",
            )
        engine = f"transformers {version('transformers')}"
        if runtime.engine_device == "cpu":
            return EngineHere("cpu", f"{engine} on {describe_cpu()}")
        seen = torch_sees()
        if seen.gpus:
            return EngineHere("cuda", f"{engine} on {describe_gpus(seen, 1)}")
        problem = None
        if runtime.engine_device == "cuda" or held is not None:
            if seen.built_for:
                problem = f"{no_gpu(1, 0, why_no_gpu(seen))}; {FORCE_CPU}"
            else:
                build = f"torch {seen.version} is a CPU build"
                problem = (
                    wasted_gpu(held, build)
                    if held is not None
                    else f"engine_device=cuda, but {build}. Fix: {FOR_GPUS}"
                )
        if not seen.version:
            problem = f"{seen.error}. Fix: make the environment anew: {FOR_GPUS}"
        return EngineHere("cpu", f"{engine} on {describe_cpu()}", problem)

    def open(self, options: EngineOptions) -> TransformersEngine:
        """See Backend.open."""
        return TransformersEngine(options)


class TransformersEngine:
    """A loaded model and its tokenizer.

    Sampling draws from a generator of each request's own: the Gumbel-max form, in which the argmax
    over ``log p + Gumbel noise`` is a draw from ``p``, lets one batched greedy search sample every
    row at its own temperature and seed.
    """

    name: BackendName = "transformers"

    def __init__(self, options: EngineOptions) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.version = version("transformers")
        self._torch = torch
        self._batch_size = options.runtime.batch_size
        self._max_model_len = options.max_model_len
        on_gpu = options.device == "cuda"
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(options.model),
            dtype=options.dtype,
            trust_remote_code=False,
            local_files_only=True,
            device_map="auto" if on_gpu else None,
        )
        self._model = model.eval()
        tokenizer = AutoTokenizer.from_pretrained(
            str(options.model), trust_remote_code=False, local_files_only=True
        )
        ends = self._model.generation_config.eos_token_id
        ends = ends if ends is not None else tokenizer.eos_token_id
        own = tuple(ends) if isinstance(ends, (list, tuple)) else (ends,)
        self._ends = tuple(dict.fromkeys((*own, *options.stop_token_ids)))
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self._ends[0]
        self._tokenizer = tokenizer
        self._compiler: Any = None

    def _compile(self, grammar: str) -> Any:
        """A grammar for this tokenizer; the compiler keeps those that it made."""
        import xgrammar

        if self._compiler is None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                self._tokenizer,
                vocab_size=self._model.config.get_text_config().vocab_size,
                stop_token_ids=list(self._ends),
            )
            self._compiler = xgrammar.GrammarCompiler(info)
        return self._compiler.compile_grammar(grammar)

    def generate(self, queue: RequestQueue) -> Generator[list[Generated | Refusal], None, None]:
        """See Backend.generate."""
        while queue:
            batch = queue.take(self._batch_size)
            finished: list[Generated | Refusal] = []
            accepted = []
            for request in batch:
                if detail := self._refusal(request):
                    finished.append(Refusal(request, detail))
                else:
                    accepted.append(request)
            if accepted:
                finished += self._run(accepted)
            yield finished

    def _refusal(self, request: Request) -> str | None:
        vocabulary = self._model.get_input_embeddings().num_embeddings
        if not request.prompt_ids:
            return "the prompt is empty"
        if max(request.prompt_ids) >= vocabulary:
            return f"token id {max(request.prompt_ids)} is out of vocabulary ({vocabulary} tokens)"
        if len(request.prompt_ids) + request.max_tokens > self._max_model_len:
            return (
                f"{len(request.prompt_ids)} prompt tokens and {request.max_tokens} more do not fit"
                f" {self._max_model_len}"
            )
        return None

    def _run(self, batch: Sequence[Request]) -> list[Generated]:
        torch = self._torch
        width = max(len(request.prompt_ids) for request in batch)
        ids = torch.full((len(batch), width), self._pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(batch):
            ids[row, width - len(request.prompt_ids) :] = torch.tensor(
                list(request.prompt_ids), dtype=torch.long
            )
            mask[row, width - len(request.prompt_ids) :] = 1
        device = self._model.device
        with torch.inference_mode():
            output = self._model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=self._greedy(max(request.max_tokens for request in batch)),
                logits_processor=self._processors(batch),
            )
        return [
            self._completion(request, output[row, width:].tolist())
            for row, request in enumerate(batch)
        ]

    def _greedy(self, max_tokens: int) -> Any:
        """A greedy search without the model's own sampling defaults, which vLLM does not apply to
        explicit parameters either.
        """
        from transformers import GenerationConfig

        make: Any = GenerationConfig  # its constructor has no types
        return make(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=max_tokens,
            pad_token_id=self._pad,
            eos_token_id=list(self._ends),
        )

    def _processors(self, batch: Sequence[Request]) -> list[Any]:
        processors: list[Any] = []
        grammars = [request.grammar for request in batch if request.grammar is not None]
        if grammars:
            from xgrammar.contrib.hf import LogitsProcessor

            # All rows of a run are constrained, or none.
            processors.append(LogitsProcessor([self._compile(grammar) for grammar in grammars]))
        return [*processors, row_sampler(batch)]

    def _completion(self, request: Request, ids: list[int]) -> Generated:
        """Cut the padding that follows a row's end: everything after its first
        end-of-turn token.
        """
        for position, token in enumerate(ids[: request.max_tokens]):
            if token in self._ends:
                return Generated(request, tuple(ids[: position + 1]), "stop")
        return Generated(request, tuple(ids[: request.max_tokens]), "length")

    def close(self) -> None:
        """Drop the model."""
        del self._model


def row_sampler(batch: Sequence[Request]) -> Any:
    """A logits processor that turns the greedy choice of each row into a draw of that row's own
    generator.

    A row's draws depend on its scores, its request's seed and the number of the step alone, not on
    the other rows.
    """
    import torch

    generators = [torch.Generator().manual_seed(request.seed) for request in batch]

    def sample(_ids: Any, scores: Any) -> Any:
        drawn = scores.float()
        for row, request in enumerate(batch):
            if request.temperature <= 0:
                continue
            logits = _nucleus(drawn[row] / request.temperature, request.top_p)
            noise = (
                torch.empty(logits.shape, dtype=torch.float32)
                .exponential_(generator=generators[row])
                .to(logits.device)
            )
            drawn[row] = torch.log_softmax(logits, dim=-1) - torch.log(noise)
        return drawn

    return sample


def _nucleus(logits: Any, top_p: float) -> Any:
    """Logits with everything outside the smallest set of tokens whose probability reaches ``top_p``
    at minus infinity.
    """
    import torch

    if top_p >= 1:
        return logits
    ordered, order = torch.sort(logits, descending=True)
    probabilities = torch.softmax(ordered, dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return logits.masked_fill(torch.zeros_like(outside).scatter(0, order, outside), float("-inf"))
