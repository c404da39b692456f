"""What is said about frequent rejects."""

from __future__ import annotations

import re

import pytest

from cbdata.config import config_schema
from cbdata.decision_points.reasons import REASONS as CUT
from cbdata.fill.reasons import REASONS as FILL
from cbdata.hints import OTHERWISE, hint, hints_of
from cbdata.lossmask.reasons import REASONS as LOSSMASK
from cbdata.rejects import Reasons
from cbdata.render.reasons import REASONS as RENDER
from cbdata.sources.reasons import READING
from cbdata.sources.registry import SOURCES

ETL_A = {**READING, **{code: "" for source in SOURCES for code in source.own_reasons()}}
TABLES = {"etl_a": ETL_A, "cut": CUT, "fill": FILL, "render": RENDER, "lossmask": LOSSMASK}


@pytest.mark.parametrize(("stage", "reasons"), TABLES.items())
def test_every_hint_is_about_a_reason_of_its_stage(stage: str, reasons: Reasons) -> None:
    assert hints_of(stage) and set(hints_of(stage)) <= set(reasons)


@pytest.mark.parametrize("stage", TABLES)
def test_every_key_that_a_hint_tells_to_set_is_there(stage: str) -> None:
    keys = config_schema()["properties"]
    for text in hints_of(stage).values():
        named = set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b(?!/)", text)) | set(
            re.findall(r"\b([a-z_]+)=", text)
        )
        others = {"trace_v1", "template_doctor", "attack_goals", "llama31_tools", "data_contract"}
        assert named - others <= set(keys), text


def test_a_reason_without_a_hint_points_at_the_rows() -> None:
    assert hint("render", "content_dropped").startswith("set chat_template")
    assert hint("render", "bos_count") == hint("no_stage", "x") == OTHERWISE
