"""What stages are measured on: the demo's records, as many as are asked for, under ids and texts of
their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cbdata.ids import digest

DEMO = Path(__file__).resolve().parents[2] / "config" / "demo"
SHARDS = 16
STEM = "fujitsu_b4"


def copies(lines: list[bytes], ids: list[str], count: int) -> Iterator[tuple[int, list[bytes]]]:
    """Repeat some lines, each time with other last digits in each of their ids.

    Args:
        lines: Records that name each other.
        ids: Their ids.
        count: How often.

    Yields:
        The number of the copy, and the lines.
    """
    for number in range(count):
        made = lines
        for name in ids:
            other = f"{name[:-8]}{number:08x}".encode()
            made = [line.replace(name.encode(), other) for line in made]
        yield number, made


def records(path: Path, key: str) -> Iterator[Any]:
    """The records of a raw file that have a key; the demo's have broken lines among them."""
    for line in path.read_bytes().split(b"\n"):
        with contextlib.suppress(orjson.JSONDecodeError):
            record = orjson.loads(line)
            if key in record:
                yield record


def own_or(folder: Path, name: str, other: Path) -> Path:
    """A file of short rows where the rows of a folder are short, else another."""
    own = folder.parent / "short" / name
    return own if own.exists() else other


def make_files(rows: int, folder: Path) -> None:
    """Raw records, skeletons and shards of ``rows`` skeletons."""
    work = folder.parent
    (folder / "raw").mkdir(parents=True)
    for name, key in [("fujitsu_b4", "attack_id"), ("agentdojo_decision_points", "messages")]:
        file = f"{name}.jsonl"
        demo = list(records(own_or(folder, file, DEMO / file), key))
        with open(folder / "raw" / file, "wb") as out:
            for number in range(rows):
                record = demo[number % len(demo)]
                # Not among the words of an attack, and once in every record: copies of one are
                # dropped, and the one that is kept names them all.
                if key == "attack_id":
                    for text in ("benign_query", "combined_query"):
                        record = {**record, text: f"{number}: {record[text]}"}
                line = orjson.dumps(record)
                for word in (b"the", b"The") if key == "messages" else ():
                    line = line.replace(word + b" ", word + f" {number} ".encode(), 3)
                out.write(line + b"\n")
    skeletons = (work / f"demo/traces/{STEM}_skeletons.jsonl").read_bytes().splitlines()
    shard = (work / f"demo/fill/shards/{STEM}/0-of-1.jsonl").read_bytes().splitlines()
    *done, closing = shard
    groups = [[skeleton] for skeleton in skeletons]
    for line in done:
        groups[orjson.loads(line)["line"] - 1].append(line)
    # Of the others, whose completions were all rejected, nothing but rejects would come.
    groups = [group for group in groups if b'"row":"trace"' in b"".join(group)]
    (folder / "traces").mkdir()
    (folder / "shards").mkdir()
    files = [open(folder / f"shards/{number}.jsonl", "wb") for number in range(SHARDS)]  # noqa: SIM115
    line = 0
    with open(folder / f"traces/{STEM}_skeletons.jsonl", "wb") as out:
        for group in groups:
            ids = [str(orjson.loads(group[0])["id"])]
            ids += [
                row["trace"]["id"] for row in map(orjson.loads, group[1:]) if row["row"] == "trace"
            ]
            for _, (skeleton, *own) in copies(group, ids, -(-rows // len(groups))):
                line += 1
                if line > rows:
                    break
                out.write(skeleton + b"\n")
                sha256 = digest(orjson.loads(skeleton))
                for row in map(orjson.loads, own):
                    row |= {"line": line, "record_sha256": sha256}
                    files[line % SHARDS].write(orjson.dumps(row) + b"\n")
    for file in files:
        file.write(closing + b"\n")
        file.close()
