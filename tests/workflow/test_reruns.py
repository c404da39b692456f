"""Which rules run again after a change of the library, in a copy of the workflow whose outputs are
all there.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.workflow.command import Snakemake

pytestmark = pytest.mark.workflow

PARTS = ["Snakefile", "workflow", "config", "configs", "environment.yml"]
LOSSMASK = {"apply_lossmask", "lossmask_by_step", "lossmask_by_policy"}
CONVERT = {"convert_fujitsu_b4", "convert_agentdojo"}
EXPORT = {"export_parquet", "export_pairs", "export_prompt_output"}
CODE = "\nCHANGED = 1\n"


class Finished:
    """A copy of the workflow in which nothing is left to do. The files are empty: the plan only
    looks at their times and at what Snakemake noted of the jobs.
    """

    def __init__(self, folder: Path, snakemake: Snakemake, repo: Path) -> None:
        self.root, self._snakemake = folder / "copy", snakemake
        self.root.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (repo / part).is_dir() else shutil.copy2
            copy(repo / part, self.root / part)
        data = folder / "data"
        self._targets = [
            *("all", "validate", "report", "export", "mwcs_tables"),
            data / "template_doctor.txt",
            data / "export/prompt_output/counts.json",
            data / "lossmasks/by_step/0/agentdojo_complete.jsonl",
            data / "lossmasks/by_policy/full_sequence/agentdojo_complete.jsonl",
        ]
        self._config = {
            "fujitsu_b4_path": "config/demo/fujitsu_b4.jsonl",
            "agentdojo_path": "config/demo/agentdojo.jsonl",
            "mwcs_schedule": "balanced_cb",
            "output_base": data,
            "log_dir": folder / "logs",
        }
        self.rules = set()
        for line in self._run("--summary").splitlines():
            if line.startswith(f"{data}/"):
                output, _, rule, *_ = line.split("\t")
                self.rules.add(rule)
                path = Path(output)
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix:
                    path.touch()
                else:
                    path.mkdir()
        self._run("--touch", "--forceall", "--cores", "1")

    def _run(self, *arguments: str, **settings: object) -> str:
        config = self._config | settings
        return self._snakemake(*arguments, *self._targets, config=config, cwd=self.root).output

    def plan(self, **settings: object) -> str:
        return self._run("--dry-run", **settings)

    def changed_rules(self, **settings: object) -> set[str]:
        """The rules whose parameters differ from those of the finished jobs. Snakemake does not
        look at rules that run anyway, after another rule makes their input anew.
        """
        match = re.search(
            r"params have changed since last execution:\n +(.*)", self.plan(**settings)
        )
        return set(match[1].split(", ")) if match else set()


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake, repo: Path
) -> Finished:
    return Finished(tmp_path_factory.mktemp("reruns"), snakemake, repo)


def test_nothing_runs_again_without_a_change(finished: Finished) -> None:
    assert "Nothing to be done" in finished.plan()
    assert finished.rules == CONVERT | LOSSMASK | EXPORT | {
        "fill_shard",
        "merge_fill",
        "render_traces",
        "template_doctor",
        "count_classes",
        "mwcs_table",
        "check_conservation",
        "validate_files",
        "require_passed",
        "build_report",
    }


@pytest.mark.parametrize(
    ("file", "added", "rules"),
    [
        ("scripts/cbdata/fill/twins.py", '\n# Why.\n"""What."""\n', set()),
        # Its link_twins writes ids.
        ("scripts/cbdata/fill/twins.py", CODE, {"merge_fill"}),
        # The fill rule, which judges, carries FILL_VERSION instead.
        ("scripts/cbdata/judge/reading.py", CODE, set()),
        ("scripts/cbdata/judge/outcomes.py", CODE, {"merge_fill"}),
        ("scripts/cbdata/fill/runner.py", CODE, set()),
        ("scripts/cbdata/sources/agentdojo_labels.py", CODE, {"convert_agentdojo"}),
        ("scripts/cbdata/sources/spool.py", CODE, CONVERT),
        ("scripts/cbdata/render/signals.py", CODE, {"render_traces"}),
        ("scripts/cbdata/render/doctor.py", CODE, {"template_doctor"}),
        ("scripts/cbdata/lossmask/selection.py", CODE, LOSSMASK),
        ("scripts/cbdata/mwcs/weights.py", CODE, LOSSMASK | {"mwcs_table"}),
        ("scripts/cbdata/export/pairs.py", CODE, {"export_pairs", "build_report"}),
        ("scripts/cbdata/report/assets/text.js", "// more\n", {"build_report"}),
        ("scripts/cbdata/version.py", CODE, {"build_report", "export_parquet"}),
        ("schemas/mwcs.schema.json", " ", LOSSMASK | {"mwcs_table"}),
        # All write files with it; the last two come after none of the others.
        ("scripts/cbdata/atomic_file.py", CODE, CONVERT | {"mwcs_table", "template_doctor"}),
        # A line more in a registry: the card names the origins of all sources, the report what
        # their reasons mean, and validate asks which of them name their user tasks.
        (
            "scripts/cbdata/sources/registry.py",
            CODE,
            {"export_parquet", "build_report", "validate_files"},
        ),
        ("scripts/cbdata/export/registry.py", CODE, set()),
    ],
)
def test_what_runs_again_after_a_change(
    finished: Finished, file: str, added: str, rules: set[str]
) -> None:
    path = finished.root / "workflow" / file
    before = path.read_text(encoding="utf-8")
    path.write_text(before + added, encoding="utf-8")
    try:
        assert finished.changed_rules() == rules
    finally:
        path.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    "settings", [{"thinking_weight": 0.5}, {"pooling_policy": "completion_window"}]
)
def test_only_masks_are_made_anew_for_their_settings(
    finished: Finished, settings: dict[str, object]
) -> None:
    assert finished.changed_rules(**settings) == LOSSMASK
