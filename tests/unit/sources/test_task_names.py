"""The wordings that the records of a benchmark have, read before they are converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from cbdata.sources.task_names import read_wordings


def run(task: str, *messages: Any, **changes: Any) -> bytes:
    fields = {"suite_name": "shop", "user_task_id": task}
    return orjson.dumps({"messages": list(messages), "metadata": fields} | changes)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_the_first_question_counts_in_whatever_form_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(
        b"\n".join(
            [
                run("1", {"role": "system", "content": "S"}, user("Buy IT!"), user("And that?")),
                run("2", user([{"type": "text", "content": "buy it"}])),
                run("3", user("")),
                run("4"),
                run("5", user([{"type": "strange"}])),
                run("6", messages="none"),
                run("7", user("sell it"), metadata=None),
                b"",
                b"{",
                b'{"metadata": {"benchmark": "agent-dojo"}}',
            ]
        )
    )
    wordings = read_wordings([path], lambda record, _: record)
    found = {number: wordings.key(("shop", number)) for number in "1234567"}
    assert found.pop("1") == found.pop("2") == "buy it"
    assert found == {number: f"shop/{number}" for number in "34567"}


def test_records_are_read_as_their_benchmark_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(run("1", user("x"), conversations=[user("buy it")]))
    wordings = read_wordings(
        [path], lambda record, _: record | {"messages": record["conversations"]}
    )
    assert wordings.key(("shop", "1")) == "buy it"
