"""Masking against reading and writing the same rows, and all policies against one.

usage: python benchmarks/lossmask/run.py [--repeats 5]

Renders the AgentDojo transcripts beside the checkout (../shared) with the Qwen3 tokenizer, or the
demo's transcripts with SmolLM2's where there are none, into scratch/bench/lossmask. Then whole
processes, in turn: ``floor`` parses the same renders and traces and writes rows with the same
fields with orjson, without looking at a span; ``one`` is the stage with assistant_only; ``all`` is
every policy of the registry in one pass; ``20x`` is ``one`` on the files twenty times over. The
median wall time of each counts.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "workflow" / "scripts"))
WORK = ROOT / "scratch" / "bench" / "lossmask"
CUSTOM = {
    "roles": {"assistant": 1.0, "tool": 0.2},
    "token_ranges": [{"start": 0, "end": 8, "weight": 0.5}],
}


def prepare() -> tuple[str, int]:
    """Write ``traces/`` and ``renders/`` once and twenty times; return what they hold and the
    number of rows.
    """
    import orjson

    from cbdata.config import default_settings
    from cbdata.jsonl import read_records
    from cbdata.render.settings import RenderSettings, RenderStageSettings
    from cbdata.render.stage import render_traces
    from cbdata.sources.agentdojo import convert
    from cbdata.stage import StageFiles

    real = ROOT.parent / "shared"
    if (real / "data" / "agentdojo").is_dir():
        raw, tokenizer, copies, what = (
            real / "data" / "agentdojo",
            real / "tokenizers" / "qwen3",
            1,
            "real AgentDojo transcripts, Qwen3 tokenizer",
        )
    else:
        raw, tokenizer, copies = (
            ROOT / "config" / "demo" / "agentdojo.jsonl",
            ROOT / "scratch/cache/models/SmolLM2-135M-Instruct",
            1000,
        )
        what = "the demo's transcripts 1000 times over, SmolLM2 tokenizer"
    schemas = sorted((ROOT / "configs" / "tool_schemas").glob("agentdojo_*_v1.json"))
    side = (WORK / "rejects.jsonl", WORK / "stats.json")
    convert(
        [str(raw)],
        split="train",
        outputs=StageFiles.of(WORK / "raw.jsonl", *side),
        max_reject_fraction=1.0,
        tool_schemas=schemas,
    )
    # The policy custom takes its parameters from the traces; the other policies do not read them.
    traces = WORK / "traces" / "1x.jsonl"
    traces.parent.mkdir(parents=True, exist_ok=True)
    with open(traces, "wb") as handle:
        for _, trace in read_records(WORK / "raw.jsonl"):
            trace["training"] |= {"loss_mask_policy": "custom", "loss_mask_params": CUSTOM}
            handle.write(orjson.dumps(trace) + b"\n")
    folder = ROOT / "configs" / "tool_schemas"
    renders = WORK / "renders" / "1x.jsonl"
    render_traces(
        traces,
        StageFiles.of(renders, *side),
        default_settings(RenderSettings, tokenizer=str(tokenizer)),
        default_settings(RenderStageSettings, tool_schema_dirs=[folder]),
        name="bench",
    )
    rendered = {render["trace_id"] for _, render in read_records(renders)}
    kept = [
        orjson.dumps(trace) + b"\n" for _, trace in read_records(traces) if trace["id"] in rendered
    ]
    traces.write_bytes(b"".join(kept))
    for path in (traces, renders):
        content = path.read_bytes() * copies
        path.write_bytes(content)
        path.with_name("20x.jsonl").write_bytes(content * 20)
    return what, renders.read_bytes().count(b"\n")


def floor(size: str) -> None:
    """Read renders and traces, write rows of the same fields: what no loss mask stage can leave
    out.
    """
    import orjson

    with (
        open(WORK / f"renders/{size}.jsonl", "rb") as renders,
        open(WORK / f"traces/{size}.jsonl", "rb") as traces,
        open(WORK / "floor.jsonl", "wb") as out,
    ):
        for line, trace_line in zip(renders, traces, strict=True):
            render, trace = orjson.loads(line), orjson.loads(trace_line)
            ids, training = render["input_ids"], trace["training"]
            row = {
                "lossmask_id": render["render_id"],
                "render_id": render["render_id"],
                "trace_id": trace["id"],
                "policy_id": "none",
                "policy_version": "0",
                "policy_params": {},
                "policy_source": "config",
                "loss_mask": [1.0] * len(ids),
                "labels": ids,
                "sample_weight": training["sample_weight"],
                "class_weight": 1.0,
                "zero_weight": False,
                "stats": {
                    "total_tokens": len(ids),
                    "masked_tokens": 0,
                    "unmasked_tokens": len(ids),
                    "mask_ratio": 0.0,
                },
                "category": trace["labels"]["category"],
                "class_id": training["mixture"]["class_id"],
                "split": trace["split"],
                "pair_id": None,
            }
            out.write(orjson.dumps(row) + b"\n")


def stage(size: str, policies: list[str]) -> None:
    """The stage as its script calls it, without its warnings on the terminal."""
    logging.getLogger("cbdata").setLevel(logging.ERROR)
    from cbdata.config import default_settings
    from cbdata.lossmask.registry import load_registry
    from cbdata.lossmask.settings import LossmaskSettings
    from cbdata.lossmask.stage import apply_policies
    from cbdata.stage import StageFiles

    files = {
        policy: StageFiles(
            *(WORK / f"out/{kind}/{policy}.jsonl" for kind in ("lossmasks", "rejects", "stats"))
        )
        for policy in policies or load_registry().ids
    }
    apply_policies(
        WORK / f"renders/{size}.jsonl",
        WORK / f"traces/{size}.jsonl",
        files,
        default_settings(LossmaskSettings),
        name="bench",
    )


CASES = {
    "floor": lambda: floor("1x"),
    "one": lambda: stage("1x", ["assistant_only"]),
    "all": lambda: stage("1x", []),
    "20x": lambda: stage("20x", ["assistant_only"]),
}


def measure(case: str) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak KiB of one process that does ``case`` and nothing else."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--case", case], check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - start
    cpu, peak = done.stdout.split()
    return wall, float(cpu), int(peak)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", choices=CASES, help="what one measured process does")
    arguments = parser.parse_args()
    if arguments.case:
        CASES[arguments.case]()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        # Not ru_maxrss: it takes over the peak of the process that started this one.
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
        print(usage.ru_utime + usage.ru_stime, peak)
        return
    what, rows = prepare()
    print(f"{rows} renders of {what}; median of {arguments.repeats} processes each, in turn")
    results: dict[str, list[tuple[float, float, int]]] = {case: [] for case in CASES}
    for _ in range(arguments.repeats):
        for case, measured in results.items():
            measured.append(measure(case))
    wall = {
        case: statistics.median(row[0] for row in measured) for case, measured in results.items()
    }
    cpu = {
        case: statistics.median(row[1] for row in measured) for case, measured in results.items()
    }
    peak = {case: max(row[2] for row in measured) / 1024 for case, measured in results.items()}
    for case in CASES:
        print(
            f"  {case:5}  {wall[case]:6.2f} s wall  {cpu[case]:6.2f} s CPU  {peak[case]:6.1f} MiB"
        )
    for top, bottom, target in (
        ("one", "floor", "at most 1.5"),
        ("all", "one", "at most 4"),
        ("20x", "one", "20 times the rows"),
    ):
        ratios = [figures[top] / figures[bottom] for figures in (wall, cpu, peak)]
        print(
            f"  {top} / {bottom}: {ratios[0]:.2f} wall, {ratios[1]:.2f} CPU, {ratios[2]:.2f} memory"
            f" ({target})"
        )


if __name__ == "__main__":
    main()
