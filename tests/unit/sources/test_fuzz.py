"""Records and bytes mutated by the ten thousand: nothing is lost, nothing crashes, everything
written is valid.

Mutations come from a seeded generator rather than from hypothesis, which would spend its time on
shrinking: a failure names its seed. ``CB_FUZZ_ROUNDS`` multiplies the number of records (default 1:
20,000 for each source).
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    from tests.unit.sources.conversion import outputs, read_back

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
