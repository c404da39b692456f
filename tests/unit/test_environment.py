"""The two lists of requirements and environment.yml come from one source, the dependency groups of
pyproject.toml, and differ in the engine and in the CUDA libraries alone.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

CPU, GPU = "requirements.txt", "requirements-gpu.txt"
PIN = re.compile(r"([A-Za-z0-9._-]+)={1,2}([A-Za-z0-9._!]+)")


def key(name: str) -> str:
    """A package's name in the one spelling in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    """Version by name; every line must be a pin, and no name may come twice."""
    found: dict[str, str] = {}
    for line in lines:
        match = PIN.fullmatch(line)
        assert match, f"not a pin: {line}"
        assert key(match[1]) not in found, f"twice: {line}"
        found[key(match[1])] = match[2]
    return found


def locked(path: Path) -> dict[str, str]:
    return pins([line for line in path.read_text().splitlines() if not re.match(r"\s*(#|$)", line)])


def needed_by(path: Path) -> dict[str, set[str]]:
    """For every package of a list, the packages and groups that its comments name after `via`."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text().splitlines()[1:]:
        if not line.startswith(" "):
            name = key(line.split("==")[0])
            found[name] = set()
        elif (by := line.removeprefix("    #").removeprefix(" via").strip()) and by:
            found[name].add(by if by.startswith(("(", "-")) else key(by))
    return found


@pytest.fixture(scope="module")
def project(repo: Path) -> dict[str, Any]:
    return tomllib.loads((repo / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def groups(project: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {name: pins(lines) for name, lines in project["dependency-groups"].items()}


@pytest.mark.parametrize(
    ("name", "engine", "other"),
    [(CPU, "engine-cpu", "engine-gpu"), (GPU, "engine-gpu", "engine-cpu")],
)
def test_a_list_holds_every_direct_dependency_and_one_engine(
    repo: Path, groups: dict[str, dict[str, str]], name: str, engine: str, other: str
) -> None:
    found = locked(repo / name)
    for group in ("pipeline", "trainers", "dev", engine):
        assert groups[group].items() <= found.items()
    assert not groups[other].keys() & found.keys()


def test_the_lists_agree_on_every_package_that_both_hold(repo: Path) -> None:
    cpu, gpu = locked(repo / CPU), locked(repo / GPU)
    assert {name: cpu[name] for name in cpu.keys() & gpu.keys()} == {
        name: gpu[name] for name in cpu.keys() & gpu.keys()
    }


def test_what_the_cpu_list_alone_holds_is_its_engine(
    repo: Path, groups: dict[str, dict[str, str]]
) -> None:
    alone = locked(repo / CPU).keys() - locked(repo / GPU).keys()
    via = needed_by(repo / CPU)
    assert groups["engine-cpu"].keys() <= alone
    for name in alone - groups["engine-cpu"].keys():
        assert via[name] and via[name] <= alone, name


def test_what_the_gpu_list_alone_holds_is_its_engine_and_the_cuda_libraries(repo: Path) -> None:
    alone = locked(repo / GPU).keys() - locked(repo / CPU).keys()
    via = needed_by(repo / GPU)
    assert {"vllm", "nvidia-cublas", "nvidia-nccl-cu13", "nvidia-cudnn-cu13"} <= alone
    for name in alone - {"vllm"}:
        assert via[name] and via[name] <= alone | {"torch"}, name


def test_no_cuda_library_is_in_the_cpu_list(repo: Path) -> None:
    assert not [name for name in locked(repo / CPU) if re.match(r"cuda-|nvidia-", name)]


@pytest.mark.parametrize("name", [CPU, GPU])
def test_the_lists_follow_what_uv_is_told(repo: Path, project: dict[str, Any], name: str) -> None:
    found = locked(repo / name)
    told = project["tool"]["uv"]
    for kind in ("override-dependencies", "constraint-dependencies"):
        assert pins(told[kind]).items() <= found.items()
    assert not found.keys() & {key(left_out) for left_out in told["exclude-dependencies"]}


def test_conda_users_get_the_versions_of_the_gpu_list(
    repo: Path, groups: dict[str, dict[str, str]]
) -> None:
    dependencies = yaml.safe_load((repo / "environment.yml").read_text())["dependencies"]
    conda = pins([entry for entry in dependencies if isinstance(entry, str) and entry != "pip"])
    conda |= pins(next(entry["pip"] for entry in dependencies if isinstance(entry, dict)))
    assert conda.pop("python") == "3.11"
    conda["snakemake"] = conda.pop("snakemake-minimal")
    assert conda == groups["pipeline"] | groups["engine-gpu"]
