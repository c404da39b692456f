"""Settings come from the configuration, and from nowhere else."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest

from cbdata.config import config_schema, resolve_config
from cbdata.fill.settings import (
    DECISION_DEFAULTS,
    LATER_KEYS,
    FillSettings,
    RuntimeSettings,
    semantic_params,
)
from tests.fill_settings import fill_settings, runtime_settings


@pytest.mark.parametrize("kind", [FillSettings, RuntimeSettings])
def test_settings_are_configuration_keys_without_defaults_of_their_own(
    kind: type[FillSettings] | type[RuntimeSettings],
) -> None:
    names = {field.name for field in fields(kind)}
    assert names <= set(config_schema()["properties"])
    assert all(field.default is MISSING for field in fields(kind))
    assert kind.of(resolve_config({})) == kind(
        **{name: value for name, value in resolve_config({}).items() if name in names}
    )


def test_modes_come_ds_first_with_their_own_temperature_and_suffix() -> None:
    settings = fill_settings(
        temperature_ds=0.7, temperature_dr=0.3, ds_system_suffix="a", dr_system_suffix="b"
    )
    assert [settings.temperature(mode) for mode in settings.modes] == [0.7, 0.3]
    assert [settings.system_suffix(mode) for mode in settings.modes] == ["a", "b"]
    assert fill_settings(mode="dr").modes == ("dr",)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "vllm"),
        ({"use_vllm": False}, "transformers"),
        ({"backend": "transformers"}, "transformers"),
        ({"use_vllm": False, "backend": "vllm"}, "vllm"),
    ],
)
def test_the_backend_is_named_or_follows_use_vllm(keys: dict[str, Any], name: str) -> None:
    assert fill_settings(**keys).backend_name == name


LATER = {
    "backend": "vllm",
    "endpoint_model": "small",
    "chat_template_kwargs": {"enable_thinking": True},
    "max_thinking_tokens": 0,
    "quantization": "fp8",
    "kv_cache_dtype": "fp8",
    "speculative": {"method": "ngram", "num_speculative_tokens": 4},
    "engine_args": {"async_scheduling": False},
    "template_fit": ["alternating_roles"],
}


def test_params_hold_what_rows_depend_on_and_later_keys_only_where_they_are_set() -> None:
    assert set(LATER) == set(LATER_KEYS)
    params = semantic_params(resolve_config({}))
    assert set(params) == {field.name for field in fields(FillSettings)} - set(LATER) - set(
        DECISION_DEFAULTS
    )
    assert semantic_params(resolve_config({"refusal": "reject"})) == {**params, "refusal": "reject"}
    for key, value in LATER.items():
        assert semantic_params(resolve_config({key: value})) == {**params, key: value}
    assert not params.keys() & {field.name for field in fields(RuntimeSettings)}


def test_the_options_of_the_engine_are_those_that_are_set() -> None:
    assert fill_settings().engine.given == {}
    keys = ("quantization", "kv_cache_dtype", "speculative", "engine_args")
    given = {key: LATER[key] for key in keys}
    assert fill_settings(**given).engine.given == given


def test_an_engine_has_the_gpus_of_both_ways_to_divide_a_model() -> None:
    assert runtime_settings(tensor_parallel=4, pipeline_parallel=2).gpus == 8
