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
