"""What the configuration says about a fill run: the settings that decide its rows, and those that
only decide how fast it goes.

Neither class has defaults: those stand in workflow/schemas/config.schema.yaml alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from cbdata.ids import canonical_json
from cbdata.records import (
    MODES,
    ControlTokenMode,
    DrContext,
    DrCriterion,
    DsCriterion,
    Mode,
    RefusalRule,
)
from cbdata.render.fits import REPORT
from cbdata.settings import settings_from

FILL_VERSION = "6"
"""Raised by hand when the fill stage would give other rows for the same settings: a rule parameter
in place of a code digest, so that a refactoring does not cost GPU hours.
"""
FILL_BEHAVIOUR = {
    "judge": "12b3a624772633d8",
    "prompts": "2c62867c5a2dca87",
    "formats": "25b57f8547a09af5",
    "requests": "709b23ae9ac3d709",
    "rows": "47418a15fd5dd6d2",
}
"""Digests of what the stage does with fixed inputs in this version. A test compares them, says when
the version must be raised, and prints the new ones.
"""

DECISION_DEFAULTS = {"dr_criterion": "any_safe_answer", "refusal": "accept"}
"""The defaults of the keys that count for skeletons of decision points alone."""

WeightType = Literal["auto", "bfloat16", "float16", "float32"]


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Options of vLLM's engine that may change what it writes.

    ``quantization`` and ``kv_cache_dtype`` are names that vLLM knows, ``speculative`` the options
    of n-gram speculation, ``engine_args`` further arguments of ``vllm.LLM``. None leaves the choice
    to vLLM.
    """

    quantization: str | None
    kv_cache_dtype: str | None
    speculative: Mapping[str, Any] | None
    engine_args: Mapping[str, Any]

    @property
    def given(self) -> dict[str, Any]:
        """Those that are set."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True, kw_only=True)
class FillSettings:
    """The settings that decide the rows; keys and meanings are those of the configuration."""

    mode: Literal["ds", "dr", "both"]
    model: str
    model_revision: str | None
    use_vllm: bool
    backend: str | None
    endpoint_model: str | None
    temperature_ds: float
    temperature_dr: float
    top_p: float
    max_tokens: int
    max_thinking_tokens: int | None
    limit: int | None
    seed: int
    max_model_len: int | None
    attempts: int
    constrain_tool_calls: bool
    call_format: str
    accept_calls_in_prose: bool
    dr_context: DrContext
    ds_system_suffix: str
    dr_system_suffix: str
    ds_criterion: DsCriterion
    dr_criterion: DrCriterion
    refusal: RefusalRule
    strict_arguments: bool
    dtype: WeightType
    quantization: str | None
    kv_cache_dtype: str | None
    speculative: Mapping[str, Any] | None
    engine_args: Mapping[str, Any]
    chat_template: str | None
    force_llama: bool
    control_tokens: ControlTokenMode
    template_date: str
    chat_template_kwargs: Mapping[str, Any]
    template_fit: str | Sequence[str]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> FillSettings:
        """The fill settings of a resolved configuration."""
        return settings_from(config, cls)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes to generate, DS first."""
        return MODES if self.mode == "both" else (self.mode,)

    @property
    def backend_name(self) -> str:
        """The backend that generates: ``backend``, or what ``use_vllm`` says where that is null."""
        return self.backend or ("vllm" if self.use_vllm else "transformers")

    @property
    def engine(self) -> EngineSettings:
        """The options of vLLM's engine among them."""
        return settings_from(vars(self), EngineSettings)

    def temperature(self, mode: Mode) -> float:
        """Sampling temperature of a mode."""
        return self.temperature_ds if mode == "ds" else self.temperature_dr

    def system_suffix(self, mode: Mode) -> str:
        """What is appended to the system prompt of a mode."""
        return self.ds_system_suffix if mode == "ds" else self.dr_system_suffix

    def describe(self) -> str:
        """The settings as one line of JSON, for the log."""
        return canonical_json(asdict(self)).decode()


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """The settings that a result does not depend on.

    None leaves a choice to the engine. ``batch_size`` is rows of a batch of the transformers
    backend, and requests that vLLM is handed at a time. An engine has ``tensor_parallel`` times
    ``pipeline_parallel`` GPUs on each of ``nodes_per_engine`` nodes; a job runs ``engines_per_job``
    of them.
    """

    engine_device: Literal["auto", "cpu", "cuda"]
    tensor_parallel: int
    pipeline_parallel: int
    nodes_per_engine: int
    engines_per_job: int
    batch_size: int
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    cpu_offload_gb: float | None
    kv_offload_gb: float | None
    gpu_memory_utilization: float | None
    enforce_eager: bool
    offline: bool
    cache_dir: str | None
    endpoint_urls: Sequence[str]
    endpoint_concurrency: int
    endpoint_patience: float
    endpoint_timeout: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RuntimeSettings:
        """The run-time settings of a resolved configuration."""
        return settings_from(config, cls)

    @property
    def gpus(self) -> int:
        """GPUs of one vLLM engine on each of its nodes."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def pipeline_stages(self) -> int:
        """Groups of GPUs that have the layers of one engine one after the other, over all nodes."""
        return self.pipeline_parallel * self.nodes_per_engine


LATER_KEYS = (
    "backend",
    "endpoint_model",
    "chat_template_kwargs",
    "max_thinking_tokens",
    "quantization",
    "kv_cache_dtype",
    "speculative",
    "engine_args",
    "template_fit",
)
"""Keys that came after the first runs; where they are not set, they are no params."""


def semantic_params(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration keys that the rows depend on, for a rule's ``params``.

    Those of LATER_KEYS, and ``tool_schema_dirs``, are left out where they are null, empty or
    ``report``: runs made before there were such keys stay up to date. So are those of
    DECISION_DEFAULTS.
    """
    params = {field.name: config[field.name] for field in fields(FillSettings)}
    if config["tool_schema_dirs"]:
        params["tool_schema_dirs"] = config["tool_schema_dirs"]
    return {
        key: value
        for key, value in params.items()
        if (key not in LATER_KEYS or value not in (None, {}, [], REPORT))
        and (key not in DECISION_DEFAULTS or value != DECISION_DEFAULTS[key])
    }
