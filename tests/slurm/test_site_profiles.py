"""The workflow's profile together with a site's: neither takes anything from the other, and each
way to ask for a GPU gives one.

The Snakefile here has a rule with the name and the resources of the workflow's fill rule whose job
notes what SLURM gave it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Cluster
from tests.slurm.cluster_conf import parse_fields
from tests.slurm.session import NewSession, Session

pytestmark = pytest.mark.slurm

SNAKEFILE = """
rule all:
    input: "cpu.txt", "gpu.txt"

rule convert:
    output: "cpu.txt"
    resources: mem_mb=1000, runtime=7
    shell: "scontrol --details show job $SLURM_JOB_ID > {output}; echo DEVICES=${{CUDA_VISIBLE_DEVICES-none}} >> {output}"

rule fill_shard:
    output: "gpu.txt"
    threads: 4
    resources:
        gpu=GPUS,
        nodes=1,
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 9 * attempt,
    shell: "scontrol --details show job $SLURM_JOB_ID > {output}; echo DEVICES=${{CUDA_VISIBLE_DEVICES-none}} >> {output}"
"""  # noqa: E501 - embedded text

SITE = {
    "default-resources": {"slurm_account": "def-mygroup", "slurm_partition": "cpu"},
    "set-resources": {"fill_shard": {"slurm_partition": "gpu", "gpu_model": "h100"}},
    "slurm-init-seconds-before-status-checks": 2,
    "latency-wait": 15,
}


def seen_by_slurm(session: Session, name: str) -> dict[str, str]:
    return parse_fields((session.directory / name).read_text())


def site_profile(directory: Path, **changes: object) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump({**SITE, **changes}), encoding="utf-8")
    return directory


def check_that_nothing_is_lost(session: Session) -> None:
    cpu, gpu = seen_by_slurm(session, "cpu.txt"), seen_by_slurm(session, "gpu.txt")
    assert (cpu["Account"], cpu["Partition"]) == ("def-mygroup", "cpu")
    assert (cpu["TRES"], cpu["TimeLimit"], cpu["DEVICES"]) == (
        "cpu=1,mem=1000M,node=1,billing=1",
        "00:07:00",
        "none",
    )
    assert (gpu["Account"], gpu["Partition"]) == ("def-mygroup", "gpu")
    assert (gpu["TRES"], gpu["TimeLimit"]) == (
        "cpu=4,mem=1500M,node=1,billing=4,gres/gpu=1",
        "00:09:00",
    )
    assert gpu["GRES"].startswith("gpu:h100:1(IDX:")
    assert gpu["DEVICES"] in {"0", "1"}


def test_site_after_the_workflows_profile(
    accounting_cluster: Cluster, new_session: NewSession, profiles: Path, tmp_path: Path
) -> None:
    session = new_session(
        accounting_cluster,
        SNAKEFILE.replace("GPUS", "1"),
        profiles / "slurm",
        site_profile(tmp_path / "site"),
    )
    session.run()
    check_that_nothing_is_lost(session)


@pytest.mark.parametrize(
    "order", ["site first", "site user-wide, the workflow's as workflow profile"]
)
def test_other_orders_plan_the_same(
    order: str, accounting_cluster: Cluster, new_session: NewSession, profiles: Path, tmp_path: Path
) -> None:
    site = site_profile(tmp_path / "site")
    snakefile = SNAKEFILE.replace("GPUS", "1")
    usual = new_session(accounting_cluster, snakefile, profiles / "slurm", site)
    other = new_session(accounting_cluster, snakefile)
    if order == "site first":
        other.profiles = [site, profiles / "slurm"]
    else:
        shutil.copytree(site, other.directory / "xdg" / "snakemake" / "mysite")
        other.arguments = ["--profile", "mysite", "--workflow-profile", str(profiles / "slurm")]
    plans = [planned_resources(session) for session in (usual, other)]
    assert len(plans[0]) == 3
    assert plans[0] == plans[1]
    (fill,) = [words for words in plans[0] if "gpu=1" in words]
    assert {
        "slurm_account=def-mygroup",
        "slurm_partition=gpu",
        "gpu_model=h100",
        "nodes=1",
        "mem_mb=1500",
        "runtime=9",
    } <= fill


def planned_resources(session: Session) -> list[set[str]]:
    """The resources of every job in the order of a dry run's listing."""
    lines = [line.strip() for line in session.run("-n").splitlines()]
    return [
        set(line.removeprefix("resources: ").split(", "))
        for line in lines
        if line.startswith("resources:")
    ]


def test_a_workflow_profile_with_default_resources_would_lose_the_account(
    accounting_cluster: Cluster, new_session: NewSession, profiles: Path, tmp_path: Path
) -> None:
    """Why profiles/slurm has no such key: Snakemake's merge is per key, so this is what it would
    do.
    """
    session = new_session(
        accounting_cluster, SNAKEFILE.replace("GPUS", "1"), site_profile(tmp_path / "site")
    )
    careless = session.directory / "careless"
    careless.mkdir()
    (careless / "config.yaml").write_text("default-resources:\n  mem_mb: 100\n", encoding="utf-8")
    session.arguments = ["--executor", "slurm", "--jobs", "1", "--workflow-profile", str(careless)]
    assert "slurm_account" not in session.run("-n")
    for profile in ("slurm", "local"):
        keys = (profiles / profile / "config.yaml").read_text()
        assert "\ndefault-resources:" not in keys and "\nset-resources:" not in keys


def test_set_resources_on_the_command_line_would_lose_the_sites(
    accounting_cluster: Cluster, new_session: NewSession, profiles: Path, tmp_path: Path
) -> None:
    """Why docs/slurm.md sends users to their site profile for more memory."""
    session = new_session(
        accounting_cluster,
        SNAKEFILE.replace("GPUS", "1"),
        profiles / "slurm",
        site_profile(tmp_path / "site"),
    )
    assert "gpu_model=h100" in session.run("-n")
    planned = session.run("-n", "--set-resources", "fill_shard:mem_mb=2000")
    assert "mem_mb=2000" in planned and "gpu_model" not in planned


def test_the_example_as_it_stands(
    accounting_cluster: Cluster, new_session: NewSession, profiles: Path
) -> None:
    """The test cluster has the account, the partitions and the GPU model that profiles/site.example
    names.
    """
    session = new_session(
        accounting_cluster,
        SNAKEFILE.replace("GPUS", "1"),
        profiles / "slurm",
        profiles / "site.example",
    )
    session.run("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "15")
    cpu, gpu = seen_by_slurm(session, "cpu.txt"), seen_by_slurm(session, "gpu.txt")
    assert (cpu["Account"], cpu["Partition"]) == ("def-mygroup", "cpu")
    assert (gpu["Account"], gpu["Partition"], gpu["TimeLimit"]) == (
        "def-mygroup",
        "gpu",
        "01:00:00",
    )
    assert gpu["GRES"].startswith("gpu:h100:1(IDX:")


RECIPES = {
    "gpu": {"gpu_model": "h100"},
    "gres": {"gpu": 0, "gres": "gpu:h100:2"},
    "gpus_per_node": {"gpu": 0, "slurm_extra": "'--gpus-per-node=h100:2'"},
}

# The fill rule once for every way, so that one site profile can hold them all.
EACH_WAY = (
    SNAKEFILE.split("rule fill_shard:")[0].replace(
        '"cpu.txt", "gpu.txt"', "expand('{way}.txt', way=WAYS)"
    )
    + "\nfor way in WAYS:\n    rule:\n        name: f'fill_{way}'"
    + SNAKEFILE.split("rule fill_shard:")[1]
    .replace("\n", "\n    ")
    .replace('"gpu.txt"', "f'{way}.txt'")
)


def test_three_ways_to_two_gpus_on_one_node(
    accounting_cluster: Cluster, new_session: NewSession, profiles: Path, tmp_path: Path
) -> None:
    site = site_profile(
        tmp_path / "site",
        **{"set-resources": {f"fill_{way}": resources for way, resources in RECIPES.items()}},
    )
    session = new_session(
        accounting_cluster,
        f"WAYS = {list(RECIPES)}\n" + EACH_WAY.replace("GPUS", "2"),
        profiles / "slurm",
        site,
    )
    session.run()
    for way in RECIPES:
        job = seen_by_slurm(session, f"{way}.txt")
        assert (job["NumNodes"], job["NumTasks"], job["DEVICES"]) == ("1", "1", "0,1"), way
        assert job["GRES"].startswith("gpu:h100:2(IDX:0-1)"), way
