"""The recipes of ``docs/recipes.md``, run as they stand: those that need a model as dry runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.workflow.plans import planned_jobs
from tests.workflow.test_guides import block

pytestmark = pytest.mark.workflow

CHAT = {
    "messages": [
        {"role": "user", "content": "What is the capital of Peru?"},
        {"role": "assistant", "content": "Lima."},
    ]
}


class Recipes:
    """The page, and a folder with what its readers have."""

    def __init__(self, repo: Path, folder: Path, model: Path) -> None:
        self.repo, self.folder, self.model = repo, folder, model
        text = (repo / "docs/recipes.md").read_text(encoding="utf-8")
        self.codes = {
            int(number): code
            for number, code in re.findall(
                r"^## (\d+)\. I have .+?, I want .+?\n\n```\w+\n(.*?)^```",
                text,
                re.MULTILINE | re.DOTALL,
            )
        }
        self.titles = re.findall(r"^## (\d+)\.", text, re.MULTILINE)
        data = folder / "data_of_mine"
        (data / "agentdojo").mkdir(parents=True)
        shutil.copy(repo / "config/demo/fujitsu_b4.jsonl", data / "b4.jsonl")
        shutil.copy(repo / "config/demo/agentdojo.jsonl", data / "agentdojo")
        (data / "chats.jsonl").write_bytes(orjson.dumps(CHAT) + b"\n")
        trace = orjson.loads(block(repo, "data_contract.md", "json", "trace_mine_0"))
        for name in ("mine", "fujitsu_b4_ds"):
            (data / f"{name}.jsonl").write_bytes(orjson.dumps(trace) + b"\n")

    def code(self, number: int) -> str:
        """A recipe with the paths of this machine."""
        code = re.sub(r"(?<!\w)/data/", f"{self.folder}/data_of_mine/", self.codes[number])
        return code.replace("scratch/", f"{self.folder}/").replace("/models/M", str(self.model))

    def run(self, number: int, more: str = "") -> str:
        """Run a recipe in the checkout, with its output below the folder."""
        code = re.sub(r"^snakemake ", f"{sys.executable} -m snakemake {more} ", self.code(number))
        code = re.sub(r"^python ", f"{sys.executable} ", code)
        done = subprocess.run(
            ["bash", "-ec", code],
            cwd=self.repo,
            env={**os.environ, "CB_SCRATCH": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout[-6000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def recipes(repo: Path, demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    return Recipes(repo, tmp_path_factory.mktemp("recipes"), demo_model)


DRY = {
    1: {"convert_fujitsu_b4": 1, "fill_shard": 1, "render_traces": 2, "apply_lossmask": 2},
    3: {"cut_decision_points": 1, "fill_shard": 1, "render_traces": 3, "apply_lossmask": 3},
    4: {"convert_conversations": 1, "render_traces": 1, "apply_lossmask": 1},
    5: {"render_traces": 1, "apply_lossmask": 1},
    7: {"render_traces": 1, "apply_lossmask": 1},
    9: {"fill_shard": 1, "export_parquet": 1, "export_pairs": 1, "push": 1},
}
RUN = {2, 6, 8, 10, 11, 12}


def test_there_are_twelve_and_each_is_run_here(recipes: Recipes) -> None:
    assert recipes.titles == [str(number) for number in range(1, 13)]
    assert set(recipes.codes) == RUN | set(DRY) == set(range(1, 13))


@pytest.mark.parametrize("number", DRY)
def test_a_recipe_plans_what_it_promises(recipes: Recipes, number: int) -> None:
    planned = planned_jobs(recipes.run(number, "-n"))
    assert DRY[number].items() <= planned.items()
    assert "fill_shard" in DRY[number] or "fill_shard" not in planned


def test_from_agentdojo_to_masks_parquet_and_datasets(
    recipes: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipes that go on with the files of the one before, on the demo's transcripts."""
    data = recipes.folder / "data"
    recipes.run(2, "--nolock")
    masks = (data / "lossmasks/agentdojo_complete.jsonl").read_bytes()
    renders = (data / "renders/agentdojo_complete.jsonl").stat().st_mtime_ns
    recipes.run(6, "--nolock")
    other = data / "lossmasks/by_policy/tool_calls_only/agentdojo_complete.jsonl"
    assert {orjson.loads(line)["policy_id"] for line in other.read_bytes().splitlines()} == {
        "tool_calls_only"
    }
    recipes.run(8, "--nolock")
    assert "Weights are in the rows" in (data / "export/README.md").read_text(encoding="utf-8")
    assert (data / "lossmasks/agentdojo_complete.jsonl").read_bytes() == masks
    assert (data / "renders/agentdojo_complete.jsonl").stat().st_mtime_ns == renders
    shown = recipes.run(11)
    first = orjson.loads(other.read_bytes().splitlines()[0])
    assert f"trace: {first['trace_id']}\n" in shown
    assert f"policy: tool_calls_only\ntokens: {first['stats']['total_tokens']:,}, " in shown
    assert f", {first['stats']['unmasked_tokens']} with loss\n" in shown
    monkeypatch.chdir(recipes.repo)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", recipes.folder / "cache")
    names: dict = {}
    exec(recipes.code(10), names)
    assert names["rows"]["lossmask_id"][:] == [
        orjson.loads(line)["lossmask_id"] for line in masks.splitlines()
    ]
    assert "PASSED (1 traces" in recipes.run(12)


def test_every_target_says_what_it_is_for(recipes: Recipes) -> None:
    """``make help`` and ``snakemake --list-target-rules``: a sentence for each."""
    makefile = (recipes.repo / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", makefile, re.MULTILINE)
    assert phony
    told = subprocess.run(
        ["make", "help"], cwd=recipes.repo, capture_output=True, text=True, check=True
    ).stdout
    said = dict(re.findall(r"^([a-z-]+): (\S.+)$", told, re.MULTILINE))
    assert said.keys() == set(phony[1].replace("\\\n", " ").split())
    listed = subprocess.run(
        [sys.executable, "-m", "snakemake", "--list-target-rules"],
        cwd=recipes.repo,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "push (" in "\n".join(listed)
    assert [line for line in listed if not re.fullmatch(r"\w+ \([A-Z][^{}]*\.\)", line)] == []


def test_the_demo_s_next_commands_are_there(recipes: Recipes) -> None:
    """As ``make demo`` prints them; show.py has nothing to show before the demo was run."""
    told = subprocess.run(
        ["make", "-n", "demo"], cwd=recipes.repo, capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r'^\t*"(\S+ .+?)"', told.split("Next:")[1], re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        program, *words = command.split()
        dry = [*words, "-n"] if program.endswith("snakemake") else words
        done = subprocess.run(
            [recipes.repo / program, *dry], cwd=recipes.repo, capture_output=True, text=True
        )
        assert done.returncode == 0 or "no loss masks there" in done.stderr, done.stderr
