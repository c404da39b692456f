"""Settings come from the configuration, and from nowhere else."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest

from cbdata.config import config_schema, resolve_config
from cbdata.fill.settings import FillSettings, RuntimeSettings, semantic_params
from tests.fill_settings import fill_settings


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


def test_params_hold_what_rows_depend_on_and_later_keys_only_where_they_are_set() -> None:
    params = semantic_params(resolve_config({}))
    later = {"backend", "chat_template_kwargs", "dr_criterion", "refusal"}
    assert set(params) == {field.name for field in fields(FillSettings)} - later
    thinks = {"enable_thinking": True}
    given = semantic_params(resolve_config({"chat_template_kwargs": thinks}))
    assert given["chat_template_kwargs"] == thinks
    assert semantic_params(resolve_config({"refusal": "reject"}))["refusal"] == "reject"
    assert "batch_size" not in params and "tensor_parallel" not in params
    assert semantic_params(resolve_config({"backend": "vllm"}))["backend"] == "vllm"
