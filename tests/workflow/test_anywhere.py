"""The workflow used from another folder, and a configuration that means what was typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cbdata.jsonl import read_records
from tests.workflow.command import Snakemake

pytestmark = pytest.mark.workflow

CHECKOUT = ("Snakefile", "cb", "workflow", "config", "configs", "profiles", "environment.yml")
AWKWARD = 'it\'s "$HOME" `id` \\n a # b: {x}\n漢字'


@pytest.fixture
def checkout(repo: Path, tmp_path: Path) -> Path:
    """A copy that nobody may write to."""
    root = tmp_path / "shared wf"
    root.mkdir()
    for name in CHECKOUT:
        copy = shutil.copytree if (repo / name).is_dir() else shutil.copy2
        copy(repo / name, root / name, **({"ignore": _caches} if copy is shutil.copytree else {}))
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() or path.name == "cb" else 0o444)
    yield root
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)


def _caches(folder: str, names: list[str]) -> set[str]:
    return {"__pycache__"} & set(names)


def listing(root: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in root.rglob("*")}


def splits(data: Path) -> set[str]:
    return {row["split"] for _, row in read_records(data / "traces/agentdojo_complete.jsonl")}


def test_a_read_only_checkout_a_home_that_cannot_be_written_and_a_directory(
    snakemake: Snakemake, checkout: Path, tmp_path: Path
) -> None:
    """Nothing is given but the raw data; a profile, a configuration and the data come from other
    folders each.
    """
    before = listing(checkout)
    (tmp_path / "call").mkdir()
    (tmp_path / "call/mine.yaml").write_text("fujitsu_b4_path: null\nseed: 2\n")
    (tmp_path / "work").mkdir()
    shutil.copy(checkout / "config/demo/agentdojo.jsonl", tmp_path / "work/raw.jsonl")
    (tmp_path / "user.yaml").write_text("agentdojo_path: ./raw.jsonl\nseed: 1\nlimit: 3\n")

    def load(*arguments: str | Path) -> str:
        return snakemake(
            *("--snakefile", checkout / "Snakefile", "--directory", tmp_path / "work"),
            *("--profile", checkout / "profiles/local", "load", *arguments),
            cwd=tmp_path / "call",
            env={
                "HOME": "/proc/no home",
                "CB_CONFIG": str(tmp_path / "user.yaml"),
                "CB_SCRATCH": str(tmp_path / "scratch"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        ).output

    assert "./" not in load("-n", "--configfile", "mine.yaml").partition("Building DAG")[2]
    assert not (tmp_path / "scratch/data").exists(), "a dry run writes nothing"
    load("--configfile", "mine.yaml", "--config", f"split={AWKWARD}")
    assert splits(tmp_path / "scratch/data") == {AWKWARD}
    assert listing(checkout) == before

    # The record of the run, which changes nothing about what is up to date.
    (record,) = (tmp_path / "scratch/data/run_configs").iterdir()
    config = json.loads(record.read_text())
    assert {key: config[key] for key in ("seed", "limit", "split", "agentdojo_path")} == {
        "seed": 2,
        "limit": 3,
        "split": AWKWARD,
        "agentdojo_path": "./raw.jsonl",
    }
    again = load("--configfile", "mine.yaml", "--config", f"split={AWKWARD}")
    assert "Nothing to be done" in again


def test_the_launcher_needs_no_active_environment(repo: Path, tmp_path: Path) -> None:
    """``cb`` by a link, from another folder, with nothing but the system's programs on the path."""
    (tmp_path / "cb").symlink_to(repo / "cb")
    done = subprocess.run(
        [tmp_path / "cb", "--list-target-rules"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"all", "load", "fill", "lossmask"} <= set(done.stdout.split())


def test_the_launcher_says_what_is_missing(checkout: Path) -> None:
    done = subprocess.run(
        [checkout / "cb", "-n"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "make setup" in done.stderr


def test_a_folder_may_be_spelt_in_any_way(snakemake: Snakemake, repo: Path, tmp_path: Path) -> None:
    demo = repo / "config/demo"
    output = snakemake(
        *("--snakefile", repo / "Snakefile", "-n", "load"),
        config={
            "fujitsu_b4_path": f"{demo}//./fujitsu_b4.jsonl",
            "agentdojo_path": f"{demo}/agentdojo.jsonl",
            "output_base": "./out/.//data/",
            "log_dir": ".//logs/",
        },
        cwd=tmp_path,
    ).output
    assert "discouraged" not in output and "double" not in output
    assert "out/data/traces/fujitsu_b4_skeletons.jsonl" in output


def test_missing_raw_data_are_told_where_everything_was_made_before(
    snakemake: Snakemake, repo: Path, tmp_path: Path
) -> None:
    """Snakemake by itself would keep the old files and call them up to date."""
    config = {
        "fujitsu_b4_path": "null",
        "agentdojo_path": repo / "config/demo/agentdojo.jsonl",
        "output_base": tmp_path / "data",
        "log_dir": tmp_path / "logs",
    }
    snakemake("--cores", 1, "load", config=config)
    for stage in ("render", "lossmask"):
        for file in (
            f"{stage}s/agentdojo_complete.jsonl",
            f"rejects/{stage}/agentdojo_complete.jsonl",
            f"stats/{stage}/agentdojo_complete.json",
        ):
            (tmp_path / "data" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / file).touch()
    run = snakemake("-n", "lossmask", config=config | {"agentdojo_path": "gone"}, check=False)
    assert run.status != 0
    assert "agentdojo_path: 'gone' does not exist" in run.output
    assert "Nothing to be done" not in run.output
    assert "Traceback" not in run.output
