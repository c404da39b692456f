"""The real workflow on the test cluster, and the questions that every test of a failure asks of its
outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.jsonl import read_records
from tests.slurm.cluster import ClusterError, wait_until
from tests.slurm.session import Session

CHECKOUT = ("Snakefile", "workflow", "config", "configs", "profiles", "slurm")
STEM = "fujitsu_b4"

# As little work as can still be interrupted half-way: generation on the CPU without vLLM's half
# minute of start-up. Unconstrained, the small model writes next to no valid call, so the amount of
# work does not depend on chance.
SMALL_FILL = {
    "use_vllm": False,
    "mode": "ds",
    "batch_size": 2,
    "constrain_tool_calls": False,
    "max_tokens": 16,
    "attempts": 1,
}


class Pipeline:
    """The workflow in a working directory that looks like a checkout, writing below its own
    CB_SCRATCH.

    :param config: configuration keys over those of the demo.
    """

    def __init__(self, session: Session, repo: Path, model: Path, **config: object) -> None:
        self.session = session
        (session.directory / "Snakefile").unlink()
        for name in CHECKOUT:
            (session.directory / name).symlink_to(repo / name)
        self.data = session.scratch / "data"
        self.logs = session.scratch / "logs"
        keys = {
            "output_base": self.data,
            "log_dir": self.logs,
            "model": model,
            "tokenizer": model,
            # The jobs hold GPUs, and there is no driver on the test machine.
            "engine_device": "cpu",
            **config,
        }
        words = [f"{key}={value}" for key, value in keys.items()]
        # An option after --config, which would otherwise take the targets for further keys.
        session.arguments += [
            "--configfile",
            "config/demo/config.yaml",
            "--config",
            *words,
            "--nocolor",
        ]
        self.limit = config.get("limit")

    # ---- progress of the shards
    # ----------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Path:
        return self.data / "fill" / "progress" / STEM

    def stored(self, shard: str = "*") -> list[tuple[str, str, int]]:
        """(skeleton, mode, attempt) of every completion in the progress store, a torn last line
        left out; ``shard`` like ``0-of-2``.
        """
        found = []
        for path in sorted(self.progress.glob(f"*.{shard}.*.jsonl")):
            whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
            found += [
                (row["trace_id"], row["mode"], row["attempt"]) for row in map(orjson.loads, whole)
            ]
        return found

    def wait_for_progress(self, shard: str, at_least: int = 1, seconds: float = 240) -> None:
        """Return when the shard has stored some completions; it must not have published its rows
        yet (the fault would come too late).
        """
        wait_until(
            lambda: len(self.stored(shard)) >= at_least,
            seconds,
            f"completions of shard {shard}",
            self.tail,
        )
        if (self.data / "fill" / "shards" / STEM / f"{shard}.jsonl").exists():
            raise ClusterError(
                f"shard {shard} finished before anything could be done to it: give it more work"
            )

    def job_of(self, shard: str) -> dict[str, str]:
        """The latest SLURM job of a shard, like ``0-of-2``."""
        wanted = f"rule_fill_shard_wildcards_{shard.replace('-of-', '_')}"
        return [
            job
            for job in self.session.cluster.jobs_of("fill_shard")
            if job["Comment"] == wanted and self.logs_hold(job["JobId"])
        ][-1]

    def slurm_log(self, job: str) -> Path:
        """What SLURM wrote about a job, one file for every try; the rule's own log holds the last
        try alone.
        """
        (found,) = self.logs.glob(f"rule_*/**/{job}.log")
        return found

    def logs_hold(self, job: str) -> bool:
        """Whether the job is one of this pipeline (the cluster is shared by the tests)."""
        return any(self.logs.glob(f"rule_*/**/{job}.log"))

    def tail(self) -> str:
        logs = sorted(self.logs.rglob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(
            f"== {path}\n{path.read_text(errors='replace')[-1500:]}" for path in logs[-3:]
        )

    # ---- what came out
    # ----------------------------------------------------------------------------------------------

    def rows(self, path: str) -> list[dict[str, Any]]:
        return [record for _, record in read_records(self.data / path)]

    def accounted(self, mode: str) -> Counter[str]:
        """How often each skeleton occurs among the completions and rejects of a mode."""
        traces = [
            row["links"]["parent_trace_ids"][0] for row in self.rows(f"traces/{STEM}_{mode}.jsonl")
        ]
        rejects = [row["record_id"] for row in self.rows(f"rejects/fill/{STEM}_{mode}.jsonl")]
        return Counter(traces + rejects)

    def check_every_skeleton_once(self, mode: str = "ds") -> None:
        """No skeleton is missing and none occurs twice."""
        skeletons = [row["id"] for row in self.rows(f"traces/{STEM}_skeletons.jsonl")][: self.limit]  # type: ignore[misc]
        assert skeletons
        assert self.accounted(mode) == Counter(dict.fromkeys(skeletons, 1))

    def check_nothing_generated_twice(self, before: Sequence[tuple[str, str, int]] = ()) -> None:
        """What was stored before the fault is still there, and no completion was generated a second
        time.
        """
        stored = self.stored()
        assert max(Counter(stored).values()) == 1
        assert set(before) <= set(stored)
