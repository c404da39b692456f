"""Notes once a second what SLURM and the running jobs themselves say: ``python watch_jobs.py FILE``
appends JSON lines until it is killed.

A line holds ``details`` (``scontrol --details show job``, which names the GPUs of a job only while
it runs) and ``inside``: for every process of a job its SLURM_JOB_ID, SLURMD_NODENAME and
CUDA_VISIBLE_DEVICES, as they stand in its environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

WANTED = ("SLURM_JOB_ID", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES")


def inside_jobs() -> list[dict[str, str]]:
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            entries = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # the process ended while we looked
            continue
        variables = dict(
            entry.decode(errors="replace").partition("=")[::2] for entry in entries if b"=" in entry
        )
        if "SLURM_JOB_ID" in variables and "SLURMD_NODENAME" in variables:
            found.append({name: variables[name] for name in WANTED if name in variables})
    return found


def main(path: str) -> None:
    with open(path, "a", encoding="utf-8") as out:
        while True:
            details = subprocess.run(
                ["scontrol", "--details", "show", "job"], capture_output=True, text=True, check=True
            ).stdout
            out.write(json.dumps({"details": details, "inside": inside_jobs()}) + "\n")
            out.flush()
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
