"""What a run's model, tokenizer and options must be, looked at while the run is planned: on a login
node, before a job waits for a GPU. Imports no engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbdata.call_formats.settle import UnsettledFormat
from cbdata.config import ConfigError
from cbdata.fill.backends.base import Backend
from cbdata.fill.call_reading import load_renderer, settle_calls
from cbdata.fill.job_shape import shape_problems
from cbdata.fill.model_size import key_value_heads, splits, text_part
from cbdata.fill.models import (
    ModelMissing,
    context_length,
    find_folder,
    read_config,
    weight_files,
)
from cbdata.fill.prompt_sizes import MOST_PROMPTS, QUICK_PROMPTS, GivenSkeletons, prompt_sizes
from cbdata.fill.requests import overlength
from cbdata.fill.settings import FillSettings, RuntimeSettings
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.fill.token_budget import TokenBudget
from cbdata.render.settings import TokenizerError
from cbdata.tools import ToolSchemaError, load_tool_schema

CARD_BYTES = 80e9
"""Memory of the card that hints speak of: an H100 or A100 of 80 GB."""

WEIGHT_SHARE = 0.75
"""At most this part of a card for weights; the rest is for the KV cache, activations and what vLLM
leaves free (8 %).
"""

NONE_GIVEN = GivenSkeletons()

MOST_CARDS = 64
"""Hints look no further."""


@dataclass(frozen=True)
class PlannedModel:
    """A model that a run can use: ``lines`` say what it is, and what to think of, for people."""

    folder: Path
    lines: tuple[str, ...]


def check_plan(
    settings: FillSettings,
    runtime: RuntimeSettings,
    backend: Backend,
    tool_schema: str,
    make_grammar: bool,
    given: GivenSkeletons = NONE_GIVEN,
) -> PlannedModel | None:
    """Say while a run is planned whether its fill jobs can succeed, as far as this machine shows.

    Args:
        settings: The run's settings.
        runtime: Its run-time settings.
        backend: What generates.
        tool_schema: The file of the tool schema.
        make_grammar: Also make the grammar of constrained calls, and look at all prompts that may
            not fit, which takes seconds.
        given: The skeletons that are to be completed.

    Returns:
        The model; None where it is not here and ``offline: false`` lets the job fetch it.

    Raises:
        ConfigError: The jobs would fail: every problem that was found, each with its fix.
        ModelMissing: Nothing is wrong but that the model is not here, or not whole.
    """
    problems = shape_problems(backend, runtime)
    problems += backend.option_problems(settings.engine, runtime)
    try:
        folder, commit = find_folder(
            settings.model,
            settings.model_revision,
            runtime.cache_dir,
            offline=True,
            with_weights=backend.loads_weights,
        )
        config = read_config(folder)
    except ModelMissing as error:
        if problems:
            raise ConfigError([*problems, *([str(error)] if runtime.offline else [])]) from error
        if runtime.offline:
            raise
        return None
    thinking, renderer, tools = 0, None, None
    try:
        renderer, tools = load_renderer(settings, folder), load_tool_schema(tool_schema)
        thinking = settle_calls(renderer, folder, settings, tools, make_grammar).thinking_tokens
    except (TokenizerError, ToolSchemaError, UnsettledFormat) as error:
        problems.append(str(error))
    problems += _context_problems(settings, thinking, context_length(config))
    if problems or renderer is None or tools is None:
        raise ConfigError(problems)
    most = MOST_PROMPTS if make_grammar else QUICK_PROMPTS
    budget = TokenBudget(settings.max_tokens, thinking)
    context = settings.max_model_len or context_length(config) or 0
    prompts = [
        found.line(budget, context)
        for path in given.files
        if (
            found := prompt_sizes(
                path,
                settings,
                SkeletonTools(given, tools),
                renderer.prompt,
                lambda tokens: overlength(tokens, budget, context) is None,
                most,
            )
        )
    ]
    size = sum(path.stat().st_size for path in weight_files(folder))
    named = f"{settings.model} at {commit[:12]}" if commit else settings.model
    line = f"model {named}: context {context_length(config)} tokens, weights {size / 2**30:.1f} GiB"
    split = _split_warnings(config, runtime) if backend.name == "vllm" else []
    hints = _size_hints(config, size, settings, runtime, backend)
    return PlannedModel(folder, (line, *split, *hints, *prompts))


def _context_problems(settings: FillSettings, thinking: int, context: int | None) -> list[str]:
    """What does not fit the model's context; ``thinking`` are tokens for its reasoning."""
    longest = settings.max_model_len
    if context is None:
        return (
            [] if longest else ["model: config.json has no context length. Fix: set max_model_len"]
        )
    if longest is not None and longest > context:
        return [
            (
                f"max_model_len: {longest} is more than the model's own {context}. Fix: lower it,"
                " or leave it out"
            )
        ]
    if settings.max_tokens + thinking >= (longest or context):
        reasoning = f" and {thinking} for reasoning" if thinking else ""
        return [
            (
                f"max_tokens: {settings.max_tokens}{reasoning} leaves no room for a prompt in a"
                f" context of {longest or context} tokens. Fix: lower it"
            )
        ]
    return []


def _split_warnings(config: dict[str, Any], runtime: RuntimeSettings) -> list[str]:
    """What vLLM 0.32 would refuse when it divides the model among GPUs: warnings, for another
    version may do it.
    """
    found = []
    gpus = runtime.tensor_parallel
    if not _splits(config, gpus):
        heads = _number(config, "num_attention_heads") or 0
        why = f"does not divide the model's {heads} attention heads"
        if heads % gpus == 0:
            shared = key_value_heads(text_part(config), heads)
            why = f"neither divides the model's {shared} key-value heads nor is a multiple of them"
        fits = [str(count) for count in range(1, 17) if _splits(config, count)]
        found.append(
            f"warning: tensor_parallel={gpus} {why}, which vLLM refuses: take one of"
            f" {', '.join(fits)}"
        )
    layers = _number(config, "num_hidden_layers")
    if layers and runtime.pipeline_stages > layers:
        over = f" on {runtime.nodes_per_engine} nodes" * (runtime.nodes_per_engine > 1)
        found.append(
            f"warning: pipeline_parallel={runtime.pipeline_parallel}{over} is more than the model's"
            f" {layers} layers, which vLLM refuses"
        )
    return found


def _size_hints(
    config: dict[str, Any],
    size: int,
    settings: FillSettings,
    runtime: RuntimeSettings,
    backend: Backend,
) -> list[str]:
    """How many typical cards the weights need at least, where they are more than the job asks
    for.
    """
    if backend.name != "vllm" or settings.quantization or runtime.cpu_offload_gb:
        return []
    if settings.dtype == "float32" and _stored_type(config) in ("bfloat16", "float16"):
        size *= 2
    least = next(
        (
            count
            for count in range(1, MOST_CARDS + 1)
            if size <= count * WEIGHT_SHARE * CARD_BYTES and _splits(config, count)
        ),
        MOST_CARDS,
    )
    asked = runtime.gpus * runtime.nodes_per_engine
    if least <= asked:
        return []
    return [
        (
            f"hint: on cards of {CARD_BYTES / 1e9:.0f} GB the weights and their cache want"
            f" tensor_parallel={least} at least, or as many GPUs over nodes_per_engine, and an"
            f" engine asks for {asked} GPU{'s' * (asked > 1)}"
        )
    ]


def _splits(config: dict[str, Any], gpus: int) -> bool:
    """Whether the model can be divided among so many GPUs, as far as its files tell."""
    heads = _number(config, "num_attention_heads")
    return not heads or splits(heads, key_value_heads(text_part(config), heads), gpus)


def _number(config: dict[str, Any], key: str) -> int | None:
    value = text_part(config).get(key)
    return value if isinstance(value, int) else None


def _stored_type(config: dict[str, Any]) -> Any:
    part = text_part(config)
    return part.get("dtype") or part.get("torch_dtype") or config.get("torch_dtype")
