"""Fill jobs as processes of their own, with the real engine and SmolLM2 on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cbdata.fill.job import FillJob, SetFiles
from cbdata.fill.settings import FillSettings
from tests.fill_settings import runtime_settings

REPO = Path(__file__).resolve().parents[2]
TOOLS = REPO / "configs/tool_schemas/demo_v1.json"
START_LIMIT_S = 420
"""Longest wait for a job's first completions: the engine's start on two busy cores."""
FINISH_LIMIT_S = 1200
"""Longest wait for a job's end. Engines beside other work wrote two tokens a second."""


@dataclass
class Jobs:
    """Starts fill jobs on one skeleton file."""

    folder: Path
    skeletons: Path
    settings: FillSettings
    at_once: int = 2
    runtime: dict[str, Any] = field(default_factory=dict)

    def job(self, shard: int = 0, shards: int = 1) -> FillJob:
        return FillJob(
            sets=[
                SetFiles(
                    skeletons=str(self.skeletons),
                    output=str(self.folder / f"shards/{shard}-of-{shards}"),
                    progress_dir=str(self.folder / "progress"),
                )
            ],
            tool_schema=str(TOOLS),
            shard=shard,
            shards=shards,
            log=str(self.folder / f"logs/{shard}-of-{shards}"),
            settings=self.settings,
            runtime=runtime_settings(
                batch_size=self.at_once,
                max_num_seqs=self.at_once,
                enforce_eager=True,
                **self.runtime,
            ),
        )

    def start(self, shard: int = 0, shards: int = 1, **environ: str) -> subprocess.Popen[str]:
        """The job's process, in a process group of its own."""
        file = self.folder / f"job-{shard}-of-{shards}.json"
        self.job(shard, shards).save(file)
        return subprocess.Popen(
            [sys.executable, "-m", "cbdata.fill", str(file)],
            # TRL, once a test has imported it, lets this process's children log errors alone.
            env={
                **os.environ,
                "VLLM_LOGGING_LEVEL": "INFO",
                "PYTHONPATH": str(REPO / "workflow/scripts"),
                **environ,
            },
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def half(self) -> int:
        """About half the completions of one pass: one of the two modes of each skeleton."""
        return len(self.skeletons.read_bytes().splitlines())

    def stored(self) -> list[dict[str, Any]]:
        """Every whole line of the progress store."""
        lines = [
            line
            for path in (self.folder / "progress").glob("*.jsonl")
            for line in path.read_bytes().splitlines(keepends=True)
        ]
        return [orjson.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for(self, count: int, process: subprocess.Popen[str]) -> None:
        """Return when ``count`` completions are stored; fail if the job ends or hangs before
        that.
        """
        deadline = time.monotonic() + START_LIMIT_S
        while len(self.stored()) < count:
            assert process.poll() is None, (
                f"the job ended early: {process.stderr.read() if process.stderr else ''}"
            )
            assert time.monotonic() < deadline, (
                f"{len(self.stored())} of {count} completions after {START_LIMIT_S} s"
            )
            time.sleep(0.05)

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit status and messages."""
        _, messages = process.communicate(timeout=FINISH_LIMIT_S)
        return process.returncode, messages
