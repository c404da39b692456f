"""The job file: read back as it was written, and errors that say what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.fill.job import FillJob, JobError, load_job


def test_a_job_file_reads_back_as_it_was(job: FillJob, tmp_path: Path) -> None:
    job.save(tmp_path / "job.json")
    assert load_job(tmp_path / "job.json") == job


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard": 1}, "shard 1 of 1"),
        ({"settings": {"colour": 1}}, "unknown keys"),
        ({"settings": {}}, "are missing"),
        ({"settings": []}, "expected an object"),
        ({"runtime": None}, "expected an object"),
        ({"extra": 1}, "unknown keys"),
        ({"sets": []}, "at least one"),
        ({"sets": [{"skeletons": "x.jsonl"}]}, "are missing"),
    ],
)
def test_a_wrong_job_file_says_what_is_wrong(
    job: FillJob, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "job.json"
    job.save(path)
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    with pytest.raises(JobError, match=message):
        load_job(path)
    with pytest.raises(JobError, match=r"absent\.json"):
        load_job(tmp_path / "absent.json")


def test_the_files_of_a_shard_bear_its_name(job: FillJob) -> None:
    folder = Path(job.sets[0].progress_dir)
    more = replace(job.sets[0], progress_dir=str(folder / "more"))
    assert job.lock_files == [folder / "0-of-1.lock"]
    both = [folder / "0-of-1.lock", folder / "more/0-of-1.lock"]
    # A job that names the sets the other way round takes the same lock first.
    assert replace(job, sets=[*job.sets, more]).lock_files == both
    assert replace(job, sets=[more, *job.sets]).lock_files == both
    assert job.job_file == folder / "0-of-1.job.json"


def test_an_engines_part_of_a_shard_has_files_and_locks_of_its_own(job: FillJob) -> None:
    runtime = replace(job.runtime, engines_per_job=4)
    whole = replace(job, shard=1, shards=2, log="logs/1-of-2.log", runtime=runtime)
    part = whole.of_engine(3)
    folder = Path(job.sets[0].progress_dir)
    assert (whole.label, part.label) == ("1-of-2", "1.3-of-2x4")
    assert (whole.parts, part.parts) == (1, 4)
    # Both of one division: neither waits for the other, and both for every other division.
    assert whole.lock_files == [folder / "1.all-of-2x4.lock"]
    assert part.lock_files == [folder / "1.3-of-2x4.lock"]
    assert part.job_file == folder / "1.3-of-2x4.job.json"
    assert part.sets[0].output == f"{job.sets[0].output}.engine3.part"
    assert part.log == "logs/1-of-2.engine3.log"
    assert whole.several_processes and not part.several_processes
    assert replace(job, log=None, runtime=runtime).of_engine(0).log is None
    over = replace(job, runtime=replace(job.runtime, nodes_per_engine=2))
    assert over.several_processes and not job.several_processes
