"""ETL_B against one plain pass over the same traces, its memory and its growth, and against TRL.

usage: python benchmarks/etl_b/run.py [--rounds 5] [--traces FILE] [--tokenizer DIR] [--no-trl]

1. Whole processes in turn, ``--rounds`` times: the yardstick (../shared/bench/etl_b_floor.py), the
  script of the render rule and
   the script of the lossmask rule, each started as Snakemake starts it. The ratio of a round is
   (render + lossmask) / yardstick.
2. Peak memory of both scripts, with what they start, on the traces once and twenty times, every
  copy with texts of its own.
3. Time for one trace against its number of messages, all of the same size.
4. TRL's preparation of the same traces, once, as a whole process.

Without the real transcripts beside the checkout (../shared) the demo's are used with SmolLM2, and 1
and 4 are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
SHARED = ROOT.parent / "shared"
WORK = ROOT / "scratch" / "bench" / "etl_b"
sys.path.append(str(SCRIPTS))

import orjson  # noqa: E402
import psutil  # noqa: E402


class Taken(NamedTuple):
    """One process: seconds by the clock and of all cores, peak memory, and what it printed."""

    wall: float
    cpu: float
    peak_mib: float
    output: str


def measure(command: list[str | Path]) -> Taken:
    """Run a process to its end; its exit status must be 0. Bytecode is kept from run to run, as
    Python does by default.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    assert process.stdout and process.stderr
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: exit status {process.returncode}\n{errors[-3000:]}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def peak_of_all(command: list[str | Path]) -> float:
    """The peak memory in MiB of a process and those that it starts, what they share counted once
    (PSS, looked at every 20 ms).
    """
    process = psutil.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(each.memory_full_info().pss for each in family))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{command}: exit status {process.returncode}")
    return peak / 2**20


def jobs(name: str, traces: Path, tokenizer: Path) -> tuple[Path, Path]:
    """Job files of the two rules for one trace file, with the defaults of the configuration."""
    from cbdata.config import config_defaults, resolve_config

    defaults = config_defaults()

    def stage(kind: str) -> dict[str, str]:
        return {
            "rejects": str(WORK / f"{name}.{kind}.rejects.jsonl"),
            "stats": str(WORK / f"{name}.{kind}.stats.json"),
        }

    renders = str(WORK / f"{name}.renders.jsonl")
    render = {
        "input": {
            "traces": str(traces),
            "tool_schema": str(ROOT / "configs/tool_schemas/b4_standard_v1.json"),
        },
        "output": {"renders": renders, **stage("render")},
        "params": {
            **defaults,
            "tokenizer": str(tokenizer),
            "tool_schema_dirs": [str(ROOT / "configs" / "tool_schemas")],
            "tools_included": False,  # the yardstick is not given the traces' tools either
        },
        "log": [str(WORK / f"{name}.render.log")],
    }
    mask = {
        "input": {
            "traces": str(traces),
            "renders": renders,
            "registry": str(ROOT / "configs/lmp_registry_v1.json"),
        },
        "output": {"lossmasks": str(WORK / f"{name}.lossmasks.jsonl"), **stage("lossmask")},
        "params": {**defaults, "policy": "assistant_only"},
        "log": [str(WORK / f"{name}.lossmask.log")],
    }
    files = []
    for kind, job in (("render", render), ("lossmask", mask)):
        path = WORK / f"{name}.{kind}.job.json"
        path.write_text(
            json.dumps(
                {**job, "config": resolve_config({}), "wildcards": {"name": "bench"}, "threads": 2}
            )
        )
        files.append(path)
    return files[0], files[1]


def script_command(script: str, job: Path) -> list[str | Path]:
    return [sys.executable, HERE / "launcher.py", SCRIPTS / script, job]


def run_script(script: str, job: Path) -> Taken:
    return measure(script_command(script, job))


def prepare(traces: Path | None, tokenizer: Path | None) -> tuple[Path, Path, str]:
    """A trace file and a tokenizer, and words for them."""
    from cbdata.sources.agentdojo import convert
    from cbdata.stage import StageFiles

    real = (SHARED / "data" / "agentdojo").is_dir()
    tokenizer = tokenizer or (
        SHARED / "tokenizers" / "qwen3"
        if real
        else ROOT / "scratch/cache/models/SmolLM2-135M-Instruct"
    )
    what = (
        f"{traces or ('real AgentDojo transcripts' if real else 'transcripts of the demo')},"
        f" {tokenizer.name} tokenizer"
    )
    if traces is None:
        traces = WORK / "traces.jsonl"
        raw = (
            SHARED / "data" / "agentdojo" if real else ROOT / "config" / "demo" / "agentdojo.jsonl"
        )
        schemas = sorted((ROOT / "configs" / "tool_schemas").glob("agentdojo_*.json"))
        convert(
            [str(raw)],
            split="train",
            outputs=StageFiles.of(traces, WORK / "etl_a.rejects.jsonl", WORK / "etl_a.stats.json"),
            max_reject_fraction=1.0,
            tool_schemas=schemas,
        )
    return traces, tokenizer, what


def against_yardstick(traces: Path, tokenizer: Path, rounds: int) -> None:
    render, mask = jobs("1x", traces, tokenizer)
    commands = {
        "yardstick": lambda: measure(
            [
                sys.executable,
                SHARED / "bench" / "etl_b_floor.py",
                traces,
                tokenizer,
                WORK / "yardstick.jsonl",
            ]
        ),
        "render": lambda: run_script("render_traces.py", render),
        "lossmask": lambda: run_script("apply_lossmask.py", mask),
    }
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(command())
    print(f"{'process':<12}{'wall s: median (min-max)':>28}{'cpu s':>8}{'peak MiB':>10}")
    for name, runs in taken.items():
        walls = [run.wall for run in runs]
        spread = f"{statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})"
        print(
            f"{name:<12}{spread:>28}{statistics.median(run.cpu for run in runs):>8.2f}"
            f"{max(run.peak_mib for run in runs):>10.0f}"
        )
    for what in ("wall", "cpu"):
        rows = [[getattr(taken[name][index], what) for name in commands] for index in range(rounds)]
        ratios = [(render_s + mask_s) / yardstick_s for yardstick_s, render_s, mask_s in rows]
        spread = (
            f"median {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) of"
            f" {rounds} rounds"
        )
        print(f"(render + lossmask) / yardstick, {what}: {spread}")
    stats = json.loads((WORK / "1x.render.stats.json").read_text())["details"]
    print(
        f"tokens {stats['tokens_before_cut']:,}, cut at 4096: {stats['tokens']:,}"
        f" ({stats['cut_fraction']:.1%} dropped)"
    )
    print(f"yardstick: {taken['yardstick'][0].output.strip()}")


def memory(traces: Path, tokenizer: Path) -> None:
    """Copies differ in the text of every message, so that no cache can live on the repetition."""
    long = WORK / "traces20.jsonl"
    with long.open("wb") as out:
        for copy in range(20):
            for line in traces.read_bytes().splitlines():
                trace = orjson.loads(line)
                for message in trace["messages"]:
                    message["content"] = f"{copy} {message['content']}"
                trace["signal_hints"] = {}
                trace["id"] = f"{trace['id'][:-2]}{copy:02x}"
                out.write(orjson.dumps(trace) + b"\n")
    print(f"{'peak MiB':<12}{'1x':>8}{'20x':>8}")
    peaks: dict[str, list[float]] = {"render": [], "lossmask": []}
    for name, path in (("1x", traces), ("20x", long)):
        render, mask = jobs(name, path, tokenizer)
        for stage, script, job in (
            ("render", "render_traces.py", render),
            ("lossmask", "apply_lossmask.py", mask),
        ):
            peaks[stage].append(peak_of_all(script_command(script, job)))
    for name, (once, twenty) in peaks.items():
        print(f"{name:<12}{once:>8.0f}{twenty:>8.0f}")
    for path in (long, *WORK.glob("20x.*.jsonl")):
        path.unlink()


def growth(tokenizer: Path) -> None:
    """In-process, everything distinct, tool calls in every round; CPU time of all threads."""
    from cbdata.config import default_settings
    from cbdata.render.record import RowWriter
    from cbdata.render.renderer import Renderer
    from cbdata.render.settings import RenderSettings, RowSettings

    renderer = Renderer.load(default_settings(RenderSettings, tokenizer=str(tokenizer)))
    writer = RowWriter(renderer, default_settings(RowSettings, max_length=10**6))
    print(f"{'messages':>9}{'ms a trace':>12}{'ms a message':>14}")
    salt = 0
    for rounds in (2, 4, 8, 16, 32, 64, 128):
        times = []
        for _ in range(7):
            salt += 1
            messages: list[dict[str, Any]] = [{"role": "user", "content": f"question {salt}"}]
            for index in range(rounds):
                text = " ".join(f"word{salt}x{index}x{word}" for word in range(60))
                calls = [
                    {
                        "call_id": f"c{index}",
                        "function": {"name": "look_up", "arguments": {"text": text}},
                    }
                ]
                messages.append({"role": "assistant", "content": text, "tool_calls": calls})
                messages.append(
                    {"role": "tool", "content": text[::-1], "tool_call_id": f"c{index}"}
                )
            start = time.process_time()
            writer.row(
                {"id": "bench", "messages": messages, "signal_hints": {}},
                renderer.render(messages),
                None,
                tools_included=False,
            )
            times.append(time.process_time() - start)
        best = statistics.median(times) * 1000
        print(f"{len(messages):>9}{best:>12.2f}{best / len(messages):>14.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--traces", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--no-trl", action="store_true")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    traces, tokenizer, what = prepare(arguments.traces, arguments.tokenizer)
    count = traces.read_bytes().count(b"\n")
    print(f"{what}: {count:,} traces, {os.cpu_count()} cores")
    yardstick = (SHARED / "bench" / "etl_b_floor.py").is_file() and tokenizer.name == "qwen3"
    if yardstick:
        against_yardstick(traces, tokenizer, arguments.rounds)
    memory(traces, tokenizer)
    growth(tokenizer)
    if yardstick and not arguments.no_trl:
        trl = measure([sys.executable, HERE / "trl_prepare.py", traces, tokenizer, WORK / "trl"])
        print(
            f"TRL: {trl.wall:.1f} s, {trl.cpu:.1f} s of all cores, {trl.peak_mib:.0f} MiB,"
            f" {trl.output.strip()}"
        )


if __name__ == "__main__":
    main()
