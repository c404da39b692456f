"""The registry of sources: every entry has what the plan and the rules take from it."""

from __future__ import annotations

import importlib
import inspect

import pytest

from cbdata.config import config_schema
from cbdata.paths import ATTACK_GOALS, INJECTION_DEFAULTS, TOOL_SCHEMAS
from cbdata.sources import fujitsu_b4
from cbdata.sources.agentdojo_labels import BENIGN, RESISTED, SUCCEEDED, UNSEEN
from cbdata.sources.reasons import READING
from cbdata.sources.registry import CONFIGURED, RUN_CLASSES, SOURCES, Converter, RawSource


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_has_its_module_key_and_schemas(source: RawSource) -> None:
    module = importlib.import_module(source.module)
    wanted = inspect.signature(Converter.__call__).parameters
    assert list(inspect.signature(module.convert).parameters) == list(wanted)[1:]
    assert READING.items() <= module.REASONS.items()
    assert source.name == module.DATASET
    key = config_schema()["properties"][source.config_key]
    assert "null" in key["type"]
    assert ("array" in key["type"]) == source.tree
    assert f"traces/{source.dataset}.jsonl" in key["x-reruns"]
    if source.tool_schemas not in (None, CONFIGURED):
        assert list(TOOL_SCHEMAS.glob(source.tool_schemas))
    if source.goals is not None:
        for folder in (ATTACK_GOALS, INJECTION_DEFAULTS):
            assert (folder / f"{source.goals}.json").is_file()
    assert set(source.options) <= config_schema()["properties"].keys()


def test_no_two_sources_share_a_name_a_key_or_a_data_set() -> None:
    for field in ("name", "config_key", "dataset"):
        values = [getattr(source, field) for source in SOURCES]
        assert len(set(values)) == len(values), field


def test_the_classes_of_runs_are_those_that_labels_give() -> None:
    given = {SUCCEEDED, RESISTED, UNSEEN, BENIGN}
    assert {f"agentdojo/{name}" for name in RUN_CLASSES} == given
    assert f"fujitsu_b4/{SOURCES[0].classes[0]}" == fujitsu_b4.CLASS_ID
