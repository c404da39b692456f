"""Peak memory and time of every stage but the model's, by the number of rows.

    .venv/bin/python benchmarks/slurm_scale/stages.py [--rows 10000 100000] [--stages merge ...]
        [--short]

The demo's skeletons are completed once with a stub in the model's place; skeletons, completions and
raw records are then repeated under ids (and texts) of their own, as many as ``--rows`` says;
``--short`` makes rows of some 75 tokens in place of the demo's. Each stage is a process of its own,
which reads files and writes files as its job does. One line each: stage, rows, seconds, seconds of
CPU, peak memory in MB, and how much of that was the process's own and not a view of a file (looked
at ten times a second, so that short peaks are missed). The files stay in scratch/benchmarks/stages,
so that a stage can be measured again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT), str(Path(__file__).parent)]

import short_rows  # noqa: E402 - found by the line above
from rows import DEMO, SHARDS, STEM, make_files, own_or, records  # noqa: E402

WORKS = [ROOT / "scratch" / "benchmarks" / name for name in ("stages", "stages_short")]
MODEL = ROOT / "scratch" / "cache" / "models" / "SmolLM2-135M-Instruct"
STUB = Path(__file__).resolve().parent / "stub"
MEMORY = ("VmHWM", "RssAnon")
CLOCK = os.sysconf("SC_CLK_TCK")
TOOLS = ROOT / "configs" / "tool_schemas" / "demo_v1.json"


def complete_the_demo(work: Path, short: bool) -> None:
    """Skeletons of the demo, completed by the stub: the records that are repeated."""
    keys: dict[str, Any] = {}
    if short:
        short_rows.write_short(
            records(DEMO / short_rows.RECORDS, "attack_id"), TOOLS, work / "short"
        )
        names = ("fujitsu_b4_path", "tool_schema", "chat_template")
        files = (short_rows.RECORDS, short_rows.TOOLS, short_rows.TEMPLATE)
        keys = {key: work / "short" / file for key, file in zip(names, files, strict=True)}
    keys |= {
        "output_base": work / "demo",
        "log_dir": work / "logs",
        "backend": "stub",
        "agentdojo_path": "null",
        "constrain_tool_calls": False,
        "attempts": 1,
    }
    words = [f"{key}={value}" for key, value in keys.items()]
    command = [sys.executable, "-m", "snakemake", "--nolock", "--quiet", "all"]
    command += ["--profile", "profiles/local", "--configfile", "config/demo/config.yaml"]
    found = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(STUB), *([found] if found else [])])
    environment = os.environ | {"CB_BACKEND_MODULES": "stub_backend", "PYTHONPATH": path}
    subprocess.run(
        [*command, "--config", *words, "--", "fill"], cwd=ROOT, env=environment, check=True
    )


def stage_files(folder: Path, kind: str, stage: str, name: str) -> Any:
    """The three files of a stage, where a run has them."""
    from cbdata.stage import StageFiles

    return StageFiles(
        folder / kind / f"{name}.jsonl",
        folder / "rejects" / stage / f"{name}.jsonl",
        folder / "stats" / stage / f"{name}.json",
    )


def convert(source: str, raw: str) -> Callable[[Path], None]:
    """A source of ETL_A."""

    def run(folder: Path) -> None:
        from cbdata.sources.options import LoadOptions
        from cbdata.sources.registry import SOURCES

        (entry,) = (each for each in SOURCES if each.name == source)
        importlib.import_module(entry.module).convert(
            [str(folder / "raw" / f"{raw}.jsonl")],
            tool_schemas=[str(own_or(folder, short_rows.TOOLS, TOOLS))]
            if source == "fujitsu_b4"
            else [],
            split="train",
            outputs=stage_files(folder, "converted", "etl_a", entry.dataset),
            max_reject_fraction=1.0,
            options=LoadOptions(split_by="task", class_caps={}, resisted="retain", own={}),
        )

    return run


def cut(folder: Path) -> None:
    """Decision points of transcripts."""
    from cbdata.decision_points.cut import CutSettings
    from cbdata.decision_points.stage import cut_decision_points
    from cbdata.paths import ATTACK_GOALS, INJECTION_DEFAULTS

    cut_decision_points(
        folder / "converted/agentdojo_complete.jsonl",
        goals=ATTACK_GOALS / "agentdojo_v1.json",
        defaults=INJECTION_DEFAULTS / "agentdojo_v1.json",
        settings=CutSettings("every_turn", "recorded"),
        outputs=stage_files(folder, "cut", "cut", "agentdojo_skeletons"),
        name="agentdojo_skeletons",
    )


def merge(folder: Path) -> None:
    """Shards to traces."""
    from cbdata.fill.merge import ModeFiles, merge_shards

    merge_shards(
        folder / f"traces/{STEM}_skeletons.jsonl",
        [folder / f"shards/{number}.jsonl" for number in range(SHARDS)],
        {
            mode: ModeFiles(
                f"{STEM}_{mode}", stage_files(folder, "traces", "fill", f"{STEM}_{mode}")
            )
            for mode in ("ds", "dr")
        },
        None,
    )


def render(mode: str) -> Callable[[Path], None]:
    """The traces of one mode to renders, in two processes as the rule does it."""

    def run(folder: Path) -> None:
        from cbdata.config import default_settings
        from cbdata.garbage import collect_rarely
        from cbdata.render.ahead import begin
        from cbdata.render.settings import RenderSettings, RenderStageSettings

        template = own_or(folder, short_rows.TEMPLATE, Path("auto"))
        settings = default_settings(
            RenderSettings, tokenizer=str(MODEL), chat_template=str(template)
        )
        collect_rarely()
        ahead = begin(settings, apart=True)
        from cbdata.render.stage import render_traces

        name = f"{STEM}_{mode}"
        options = default_settings(
            RenderStageSettings,
            tool_schema=None,
            tool_schema_file=str(own_or(folder, short_rows.TOOLS, TOOLS)),
            reject_limit=1.0,
        )
        render_traces(
            folder / f"traces/{name}.jsonl",
            stage_files(folder, "renders", "render", name),
            settings,
            options,
            name=name,
            ahead=ahead,
        )

    return run


def lossmask(mode: str) -> Callable[[Path], None]:
    """The renders of one mode to loss masks."""

    def run(folder: Path) -> None:
        from cbdata.config import default_settings
        from cbdata.lossmask.settings import LossmaskSettings
        from cbdata.lossmask.stage import apply_lossmask

        name = f"{STEM}_{mode}"
        apply_lossmask(
            folder / f"renders/{name}.jsonl",
            folder / f"traces/{name}.jsonl",
            stage_files(folder, "lossmasks", "lossmask", name),
            default_settings(LossmaskSettings),
            name=name,
        )

    return run


def run_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The files of the run that exports read."""
    files = {
        kind: tuple(folder / kind / f"{STEM}_{mode}.jsonl" for mode in ("ds", "dr"))
        for kind in ("traces", "renders", "lossmasks")
    }
    return files | {"skeletons": (folder / f"traces/{STEM}_skeletons.jsonl",)}


def export(name: str) -> Callable[[Path], None]:
    """An export."""

    def run(folder: Path) -> None:
        from cbdata.export import ExportFiles
        from cbdata.export.registry import EXPORTS

        (entry,) = (each for each in EXPORTS if each.name == name)
        options = {
            "export_weights": "columns",
            "tokenizer": str(MODEL),
            "cache_dir": None,
            "tool_schema": str(own_or(folder, short_rows.TOOLS, TOOLS)),
            "tool_schema_dirs": [],
        }
        outputs = {key: folder / "export" / path for key, path in entry.outputs.items()}
        files = run_files(folder)
        importlib.import_module(entry.dotted).write(
            ExportFiles(**{kind: files[kind] for kind in entry.reads}), outputs, options
        )

    return run


def validate(folder: Path) -> None:
    """All checks of all files."""
    from cbdata.validation.run import validate as check

    files = [path for paths in run_files(folder).values() for path in paths]
    findings = check([*files, folder / "rejects/render", folder / "rejects/lossmask"])
    (folder / "validation.txt").write_text(findings.table(), encoding="utf-8")


def report(page_tokens: int) -> Callable[[Path], None]:
    """The report page, which holds traces of up to so many tokens."""

    def run(folder: Path) -> None:
        from cbdata.lossmask.registry import load_registry
        from cbdata.report.build import build_report
        from cbdata.report.inputs import DataSet, ReportInputs

        files = run_files(folder)
        datasets = tuple(
            DataSet(
                path.stem, *(folder / kind / path.name for kind in files if kind != "skeletons")
            )
            for path in files["traces"]
        )
        rejects = tuple(sorted((folder / "rejects").rglob(f"{STEM}_*.jsonl")))
        inputs = ReportInputs(datasets, files["skeletons"], rejects=rejects, tokenizer=MODEL)
        build_report(inputs, load_registry(), folder / "report.html", token_budget=page_tokens)

    return run


STAGES: dict[str, Callable[[Path], None]] = {
    "etl_a_fujitsu_b4": convert("fujitsu_b4", "fujitsu_b4"),
    "etl_a_agentdojo": convert("agentdojo", "agentdojo_decision_points"),
    "cut": cut,
    "merge": merge,
    "render_ds": render("ds"),
    "render_dr": render("dr"),
    "lossmask_ds": lossmask("ds"),
    "lossmask_dr": lossmask("dr"),
    "validate": validate,
    "export_parquet": export("parquet"),
    "export_pairs": export("pairs"),
    "export_prompt_output": export("prompt_output"),
    "export_seed_v1": export("seed_v1"),
    "export_triplets": export("triplets"),
    "export_next_tool_prediction": export("next_tool_prediction"),
    "report": report(12_000_000),
    "report_small_page": report(1_000_000),
}


@dataclass
class Seen:
    """What was seen of a process: seconds of CPU, peak memory and that of its own, in MB."""

    cpu: float = 0.0
    peak: int = 0
    own: int = 0

    def look(self, process: int) -> None:
        """Look at it once; nothing changes where it has ended."""
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
            found = {name: int(status.split(f"{name}:")[1].split()[0]) for name in MEMORY}
            self.cpu = sum(map(int, stat.rpartition(") ")[2].split()[11:13])) / CLOCK
            self.peak = max(self.peak, round(found["VmHWM"] / 1024))
            self.own = max(self.own, round(found["RssAnon"] / 1024))


def measure(stage: str, folder: Path) -> None:
    """Run a stage as a process of its own and print its line, then one for each of its children."""
    began, rows = time.monotonic(), int(folder.name)
    done = subprocess.Popen(
        [sys.executable, __file__, "--one", stage, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    seen: dict[int, Seen] = {done.pid: Seen()}
    while done.poll() is None:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{done.pid}/task/{done.pid}/children").read_text()
            for child in map(int, children.split()):
                seen.setdefault(child, Seen())
        for process, each in seen.items():
            each.look(process)
        time.sleep(0.1)
    first = seen.pop(done.pid)
    if done.returncode or done.stdout is None:
        print(f"{stage:<28}{rows:>10,}  failed", flush=True)
        return
    cpu, peak = done.stdout.read().split()[-2:]
    seconds = time.monotonic() - began
    line = f"{stage:<28}{rows:>10,}{seconds:>10.1f}{float(cpu):>10.1f}{peak:>8}{first.own:>8}"
    print(line, flush=True)
    for child in seen.values():
        line = f"{'  its child':<48}{child.cpu:>10.1f}{child.peak:>8}{child.own:>8}"
        print(line, flush=True)


def run_one(stage: str, folder: Path) -> None:
    """Do a stage in this process; print the seconds of CPU time and the peak memory in MB."""
    STAGES[stage](folder)
    # Not ru_maxrss, which counts what the parent had before it became this program.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(f"{time.process_time():.2f} {peak:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--short", action="store_true", help="rows of some 75 tokens")
    parser.add_argument("--one", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.folder)
        return
    work = WORKS[arguments.short]
    if not (work / f"demo/traces/{STEM}_dr.jsonl").exists():
        complete_the_demo(work, arguments.short)
    print(f"{'stage':<28}{'rows':>10}{'s':>10}{'CPU s':>10}{'MB':>8}{'own MB':>8}", flush=True)
    for rows in arguments.rows:
        folder = work / str(rows)
        if not folder.exists():
            make_files(rows, folder)
        for stage in arguments.stages:
            measure(stage, folder)


if __name__ == "__main__":
    main()
