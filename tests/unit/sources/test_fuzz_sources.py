"""Mutated records of the sources with tools of their own, as ``test_fuzz`` does it for the others:
nothing is lost, nothing crashes, everything written is valid.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.sources import agentdyn, conversations, injecagent, nemotron_ipi
from cbdata.sources.options import LoadOptions
from tests.unit.sources.conversion import outputs, read_back
from tests.unit.sources.test_agentdyn import run_file
from tests.unit.sources.test_conversations import CALL, openai, sharegpt
from tests.unit.sources.test_fuzz import BATCH, ROUNDS, file_of, lines_that_are_records
from tests.unit.sources.test_injecagent import TOOLS, case
from tests.unit.sources.test_nemotron_ipi import row

CALLED = f"<tool_call>{orjson.dumps(CALL).decode()}</tool_call>"
CHATS = [
    openai(),
    openai(tools=None),
    sharegpt(("human", "Hi."), ("gpt", f"I look.\n{CALLED}"), ("tool", "12"), ("gpt", "12.")),
    sharegpt(("human", "Hi."), ("function_call", orjson.dumps(CALL).decode()), system="Help."),
]
RUNS = [
    run_file("github", 0, 1, "local", hit=True),
    run_file("shopping", 2, None, "gpt-x", hit=True, key="conversations"),
]
SOURCES: dict[str, tuple[Callable[..., None], list[Any], str]] = {
    "agentdyn": (agentdyn.convert, RUNS, "runs.jsonl"),
    "conversations": (conversations.convert, CHATS, "chats.jsonl"),
    "injecagent": (injecagent.convert, [case(), case(Modifed=1)], "test_cases_ds_enhanced.jsonl"),
    "nemotron_ipi": (nemotron_ipi.convert, [row()], "train.jsonl"),
}


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("name", SOURCES)
def test_mutated_records_are_accounted_for(tmp_path: Path, name: str, seed: int) -> None:
    convert, records, file = SOURCES[name]
    data = file_of(records, seed)
    (tmp_path / file).write_bytes(data)
    raw = [tmp_path / file]
    if name == "injecagent":
        (tmp_path / "tools.json").write_bytes(orjson.dumps(TOOLS))
        raw.append(tmp_path / "tools.json")
    convert(
        raw,
        tool_schemas=[],
        split={"train": 0.5, "eval": 0.5},
        outputs=outputs(tmp_path),
        max_reject_fraction=1.0,
        options=LoadOptions(
            split_by="both",
            class_caps={"chats/x": 100},
            own={"conversations_class": "chats/x"},
        ),
    )
    done = read_back(tmp_path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert done.reasons == ["utf16_file"]
        return
    assert done.counts[0] + done.stats["counts"]["headers"] == lines_that_are_records(data)
    assert done.counts[1] > 0 and done.counts[2] > BATCH // 20
