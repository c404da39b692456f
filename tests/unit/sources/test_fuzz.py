"""Records and bytes mutated by the ten thousand: nothing is lost, nothing crashes, everything
written is valid.

Mutations come from a seeded generator rather than from hypothesis, which would spend its time on
shrinking: a failure names its seed. ``CB_FUZZ_ROUNDS`` multiplies the number of records (default 1:
100,000 over all sources).
"""

from __future__ import annotations

import gzip
import importlib
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.sources.options import LoadOptions
from cbdata.sources.registry import SOURCES
from tests.unit.sources import test_agentdyn, test_conversations, test_injecagent, test_nemotron_ipi
from tests.unit.sources.conversion import outputs, read_back
from tests.unit.sources.examples import (
    HEADER,
    INJECTION,
    assistant,
    b4,
    call,
    export,
    result,
    run_file,
    talk,
)

ROUNDS = int(os.environ.get("CB_FUZZ_ROUNDS", "1"))
BATCH = 2500

SCALARS = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63,
    1e308,
    0.1,
    "",
    " ",
    "x",
    "none",
    "true",
    "unsafe",
    "assistant",
    "tool",
    "system",
    "developer",
]
HOSTILE = [
    "\x00",
    "a\x1bb",
    "<|eot_id|>",
    "<INFORMATION>",
    INJECTION,
    "é🏢\u200b",
    "../../etc/passwd",
    "{}",
    "[",
    "%s{0}$(x)",
]
NAMES = ["search_web", "c1", "dos", "none", "injection_task_3"]
NESTED = [
    [],
    {},
    [[]],
    [None],
    {"": None},
    ["x"],
    [{"type": "text", "content": "t"}],
    call(),
    [call(), call()],
    result("r"),
]
VALUES: list[Any] = SCALARS + HOSTILE + NAMES + NESTED


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a value, twelve levels deep."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    items = items if len(path) < 12 else ()
    return [path, *(place for key, child in items for place in paths(child, (*path, key)))]


def mutate(record: Any, rng: random.Random) -> Any:
    """A copy with a few values replaced, removed, repeated, moved or nested."""
    record = orjson.loads(orjson.dumps(record))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        places = [path for path in paths(record) if path]
        if not places:
            break
        path = rng.choice(places)
        holder = record
        for key in path[:-1]:
            holder = holder[key]
        key, action = path[-1], rng.randrange(7)
        if action <= 2:
            holder[key] = rng.choice(VALUES)
        elif action == 3:
            del holder[key]
        elif action == 4 and isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), holder[key])
        elif action == 5 and isinstance(holder, dict):
            holder[rng.choice(("content", "id", "role", "error", "extra", "messages"))] = holder[
                key
            ]
        else:
            holder[key] = orjson.loads(
                b"[" * (depth := rng.choice((1, 3, 120, 244))) + b"1" + b"]" * depth
            )
    return record


def damage(line: bytes, rng: random.Random) -> bytes:
    """The line with its bytes changed, for some lines."""
    action = rng.randrange(40)
    place = rng.randrange(len(line) + 1)
    if action == 0:
        return line[:place]
    if action == 1:
        return line[:place] + rng.randbytes(3).replace(b"\n", b"") + line[place:]
    if action == 2:
        return (
            line[:place]
            + rng.choice((b"\x00", b"\\ud800", b"\xff", b"NaN", b"\r", b"\xef\xbb\xbf", b"}", b'"'))
            + line[place:]
        )
    if action == 3:
        return rng.choice(
            (
                line.decode().encode("utf-16"),
                b"",
                b"null",
                b"[" * 3000,
                b'{"messages":' * 400,
                line + line,
            )
        )
    return line


def written(record: Any, option: int = 0) -> bytes:
    """JSON of a record; of one that nests deeper than orjson writes, a line that nests as deep."""
    try:
        return orjson.dumps(record, option=option)
    except TypeError:
        return b'{"a":' + b"[" * 600 + b"]" * 600 + b"}"


def file_of(records: list[Any], seed: int) -> bytes:
    rng = random.Random(seed)
    lines = []
    for _ in range(BATCH):
        lines.append(damage(written(mutate(rng.choice(records), rng)), rng))
    return b"\n".join(lines) + rng.choice((b"", b"\n", b'\n{"cut": '))


def lines_that_are_records(data: bytes) -> int:
    """Lines that must be accounted for: all but blank ones. A header is told by the converter and
    counted by itself.
    """
    return sum(1 for line in data.split(b"\n") if line.strip(b" \t\r\n"))


def real(shared: Path, pattern: str, count: int) -> list[Any]:
    """Some real records, if they are at hand; the own ones are enough without."""
    files = sorted((shared / "data").glob(pattern))
    lines = [line for path in files for line in path.read_bytes().splitlines()]
    return [
        orjson.loads(line) for line in lines[:: max(1, len(lines) // count)] if len(line) < 8_000
    ]


@pytest.mark.parametrize("seed", range(8 * ROUNDS))
def test_b4_records(convert_b4, repo: Path, seed: int) -> None:
    own = [
        b4(),
        b4(malicious_injection=""),
        b4(success="unsafe", record_id=7),
        b4(combined_query="x"),
        b4(simulated_tool="send_email"),
    ]
    demo = [
        orjson.loads(line)
        for line in (repo / "config/demo/fujitsu_b4.jsonl").read_bytes().splitlines()[:-1]
    ]
    data = file_of(own + demo + real(repo.parent / "shared", "fujitsu_b4/orch*.jsonl", 25), seed)
    done = convert_b4(data)
    assert (
        done.counts[0] == lines_that_are_records(data)
        and done.counts[1] > 0
        and done.counts[2] > BATCH // 10
    )


@pytest.mark.parametrize("seed", range(8 * ROUNDS))
def test_agentdojo_records(convert_dojo, repo: Path, seed: int) -> None:
    own = [
        HEADER,
        export(),
        export(talk(INJECTION), injected=True),
        run_file(talk(), injected=True),
        run_file([{"role": "user", "content": []}]),
    ]
    own.append(
        export(
            [
                assistant("", call(call_id=None), call(call_id="")),
                result("1", None),
                result("2", "zz", error="e"),
            ]
        )
    )
    demo = [
        orjson.loads(line)
        for line in (repo / "config/demo/agentdojo.jsonl").read_bytes().splitlines()
    ]
    data = file_of(own + demo + real(repo.parent / "shared", "agentdojo/*.jsonl", 40), seed)
    schemas = sorted((repo / "configs" / "tool_schemas").glob("agentdojo_*_v1.json"))
    done = convert_dojo(data, tool_schemas=schemas)
    assert done.counts[0] + done.stats["counts"]["headers"] == lines_that_are_records(data)
    assert done.counts[1] > 0 and done.counts[2] > BATCH // 20


OTHERS: dict[str, tuple[str, Callable[[], list[Any]]]] = {
    "agentdyn": (
        "runs.jsonl",
        lambda: [
            test_agentdyn.run_file("shopping", task, injection, "p", hit=task == 1, key=key)
            for task in (1, 2)
            for injection in (None, 3)
            for key in ("messages", "conversations")
        ],
    ),
    "injecagent": (
        "test_cases_dh_base.json",
        lambda: [
            test_injecagent.case(),
            test_injecagent.case(**{"Modifed": 1, "User Instruction": "What else?"}),
        ],
    ),
    "nemotron_ipi": (
        "train.jsonl",
        lambda: [
            test_nemotron_ipi.row(),
            test_nemotron_ipi.changed("injection/goal", "Forward all"),
            test_nemotron_ipi.row(domain="home"),
        ],
    ),
    "conversations": (
        "chats.jsonl",
        lambda: [
            test_conversations.openai(),
            test_conversations.openai("Again?", topic=1),
            test_conversations.sharegpt(("human", "Hi"), ("gpt", "Hello")),
        ],
    ),
}
"""The file that each other source is given, and the records that are mutated."""


def test_every_source_is_among_those_that_are_fuzzed() -> None:
    assert {"fujitsu_b4", "agentdojo", *OTHERS} == {source.name for source in SOURCES}


def write_raw(source: str, data: bytes, folder: Path) -> Path:
    """Lay the records of one of OTHERS into a folder; the path to convert."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    path = raw / OTHERS[source][0]
    path.write_bytes(data)
    if source != "injecagent":
        return path
    (raw / "tools.json").write_bytes(orjson.dumps(test_injecagent.TOOLS))
    return raw


def convert_other(source: str, raw: Path, folder: Path) -> None:
    """Convert what ``write_raw`` wrote."""
    importlib.import_module(f"cbdata.sources.{source}").convert(
        [raw],
        tool_schemas=[],
        split={"train": 0.5, "eval": 0.5},
        outputs=outputs(folder),
        max_reject_fraction=1.0,
        options=LoadOptions(own={"conversations_class": "c"}),
    )


@pytest.mark.parametrize("seed", range(6 * ROUNDS))
@pytest.mark.parametrize("source", OTHERS)
def test_records_of_the_other_sources(source: str, seed: int, tmp_path: Path) -> None:
    """Every second file is compressed. A first line that is whole tells how the file is read."""
    own = OTHERS[source][1]()
    data = orjson.dumps(own[0]) + b"\n" + file_of(own, seed)
    raw = write_raw(source, gzip.compress(data, 1) if seed % 2 else data, tmp_path)
    convert_other(source, raw, tmp_path)
    done = read_back(tmp_path)
    assert done.counts[0] + done.stats["counts"]["headers"] == lines_that_are_records(data)
    assert done.counts[1] > 0 and done.counts[2] > BATCH // 20


@pytest.mark.parametrize("source", OTHERS)
def test_memory_does_not_grow_with_the_number_of_records(source: str, tmp_path: Path) -> None:
    """Eight times the records, no two of them the same. SQLite's cache is not Python's memory."""
    own = OTHERS[source][1]()

    def peak(count: int) -> int:
        rng = random.Random(0)
        lines = [orjson.dumps(own[0])]
        for number in range(count):
            record = mutate(rng.choice(own), rng)
            marked = {**record, "mark": "x" * 200 + str(number)} if type(record) is dict else record
            lines.append(written(marked))
        folder = tmp_path / str(count)
        raw = write_raw(source, b"\n".join(lines), folder)
        tracemalloc.start()
        convert_other(source, raw, folder)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(50)
    assert peak(1600) < peak(200) + (1 << 20)


def test_files_of_a_runs_tree(convert_dojo) -> None:
    rng = random.Random(0)
    blocks = [{"role": "user", "content": [{"type": "text", "content": "q"}]}]
    own = [
        run_file(talk(), injected=True),
        run_file(talk(INJECTION), blocks=False),
        run_file(blocks),
    ]
    files = {}
    for number in range(400):
        line = written(mutate(rng.choice(own), rng), orjson.OPT_INDENT_2 if number % 2 else 0)
        files[f"runs/p/slack/user_task_{number}/direct/none.json"] = damage(line, rng)
    done = convert_dojo(files)
    assert done.counts[0] == 400 and done.counts[1] > 20 and done.counts[2] > 50


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(value=JSON, where=st.sampled_from(paths(export(talk(INJECTION), injected=True))[1:]))
def test_any_value_in_any_place_of_a_transcript(
    value: Any, where: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from cbdata.sources import agentdojo

    record = orjson.loads(orjson.dumps(export(talk(INJECTION), injected=True)))
    holder = record
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.jsonl").write_bytes(orjson.dumps(record) + b"\n")
    agentdojo.convert(
        [folder / "a.jsonl"],
        tool_schemas=[],
        split="train",
        outputs=outputs(folder),
        max_reject_fraction=1.0,
    )
    done = read_back(folder)
    assert done.counts[0] == 1
