"""64 shards under churn, twenty times, each with a random sequence of kills of its own.

    .venv/bin/python benchmarks/churn/run.py [--seeds 20] [--shards 64] [--kills 40]

One line for each seed, then the verdict; status 1 if a run did not come out as an undisturbed one,
or more than 1.05 of one pass was generated. What is real and what is not:
tests/unit/fill/churn.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
MOST = 1.05


def churn(seed: int, options: list[str]) -> dict[str, object] | None:
    """One run; None if it failed."""
    folder = Path(tempfile.mkdtemp(prefix="churn_"))
    command = [sys.executable, "-m", "tests.unit.fill.churn", str(folder / "run")]
    path = os.pathsep.join([str(REPO / "workflow/scripts"), os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run(
            [*command, "--seed", str(seed), *options],
            cwd=REPO,
            env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
            stdout=subprocess.PIPE,
            text=True,
        )
        return json.loads(done.stdout) if done.stdout.strip() else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    for name, default in (("shards", 64), ("skeletons", 1280), ("kills", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    options = [
        word
        for name in ("shards", "skeletons", "kills")
        for word in (f"--{name}", str(getattr(arguments, name)))
    ]
    good, worst = 0, 0.0
    for seed in range(1, arguments.seeds + 1):
        result = churn(seed, options)
        if result is None:
            print(f"seed {seed}: failed", flush=True)
            continue
        share = result["generated"] / result["one_pass"]
        worst = max(worst, share)
        good += bool(result["same"]) and share <= MOST
        print(
            f"seed {seed}: {'the same files' if result['same'] else 'OTHER FILES'},"
            f" {result['generated']:,} generated, {share:.4f} of one pass; killed"
            f" {result['killed']}; {result['seconds']} s",
            flush=True,
        )
    print(f"{good} of {arguments.seeds} as an undisturbed run; at most {worst:.4f} of one pass")
    sys.exit(0 if good == arguments.seeds else 1)


if __name__ == "__main__":
    main()
