"""Export, validation and the report page: time, memory and size on real transcripts, once and eight
times over.

usage: python benchmarks/export/run.py [--repeats 3] [--no-browser]

Makes traces, renders (cut at 4,096 tokens) and assistant_only masks of the AgentDojo transcripts
beside the checkout (../shared) with the Qwen3 tokenizer, or of the demo's transcripts with
SmolLM2's where there are none, into scratch/bench/export; the larger set repeats them with ids of
their own. Then, as whole processes in turn: ``jsonl`` only parses the same two files, ``export``
writes the Parquet files, ``datasets`` joins the same rows in memory and lets Hugging Face datasets
write its default Parquet, ``validate`` makes every check, ``report`` builds the page. Median wall
time and peak memory of each, then the sizes, then what the page of the larger set needs in Chromium
to open, to search and to show the next trace.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "workflow" / "scripts"))
WORK = ROOT / "scratch" / "bench" / "export"
LARGE = 8
SIZES = ("1x", f"{LARGE}x")


def source() -> tuple[Path, Path, int, str]:
    """Raw transcripts, tokenizer, how often to take them for ``1x``, and what they are."""
    real = ROOT.parent / "shared"
    if (real / "data" / "agentdojo").is_dir():
        return (
            real / "data" / "agentdojo",
            real / "tokenizers" / "qwen3",
            1,
            "real AgentDojo transcripts, Qwen3 tokenizer",
        )
    demo = ROOT / "config" / "demo" / "agentdojo.jsonl"
    return (
        demo,
        ROOT / "scratch/cache/models/SmolLM2-135M-Instruct",
        100,
        "the demo's transcripts 100 times over, SmolLM2 tokenizer",
    )


def repeat(path: Path, copies: int, keys: tuple[str, ...]) -> None:
    """Write ``{copies}x.jsonl`` beside a file: the same records, the hex digits of their ids
    changed in each copy.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    import orjson

    with open(path.with_name(f"{copies}x.jsonl"), "wb") as out:
        for copy in range(copies):
            for line in lines:
                record = orjson.loads(line)
                for key in keys:
                    record[key] = record[key][:-4] + f"{int(record[key][-4:], 16) ^ copy:04x}"
                out.write(orjson.dumps(record) + b"\n")


def prepare() -> None:
    """Make the files of both sizes."""
    from cbdata.config import default_settings
    from cbdata.lossmask.settings import LossmaskSettings
    from cbdata.lossmask.stage import apply_lossmask
    from cbdata.render.settings import RenderSettings, RenderStageSettings
    from cbdata.render.stage import render_traces
    from cbdata.sources.agentdojo import convert
    from cbdata.stage import StageFiles

    raw, tokenizer, copies, _ = source()
    shutil.rmtree(WORK, ignore_errors=True)
    schemas = ROOT / "configs" / "tool_schemas"
    side = (WORK / "rejects.jsonl", WORK / "stats.json")
    once = {kind: WORK / kind / "1x.jsonl" for kind in ("traces", "renders", "lossmasks")}
    found = sorted(schemas.glob("agentdojo_*_v1.json"))
    convert(
        [str(raw)],
        split="train",
        outputs=StageFiles.of(once["traces"], *side),
        max_reject_fraction=1.0,
        tool_schemas=found,
    )
    render_traces(
        once["traces"],
        StageFiles.of(once["renders"], *side),
        default_settings(RenderSettings, tokenizer=str(tokenizer)),
        default_settings(RenderStageSettings, tool_schema_dirs=[schemas]),
        name="bench",
    )
    apply_lossmask(
        once["renders"],
        once["traces"],
        StageFiles.of(once["lossmasks"], *side),
        default_settings(LossmaskSettings),
        name="bench",
    )
    ids = {
        "traces": ("id",),
        "renders": ("render_id", "trace_id"),
        "lossmasks": ("lossmask_id", "render_id", "trace_id"),
    }
    for kind, path in once.items():
        if copies > 1:
            repeat(path, copies, ids[kind])
            path.with_name(f"{copies}x.jsonl").replace(path)
        repeat(path, LARGE, ids[kind])


def files(size: str) -> dict[str, Path]:
    return {kind: WORK / kind / f"{size}.jsonl" for kind in ("traces", "renders", "lossmasks")}


def jsonl(size: str) -> None:
    import orjson

    for kind in ("renders", "lossmasks"):
        with open(files(size)[kind], "rb") as handle:
            for line in handle:
                orjson.loads(line)


def export(size: str) -> None:
    from cbdata.export.dataset import export_parquet

    paths = files(size)
    export_parquet(
        [paths["lossmasks"]], [paths["renders"]], [paths["traces"]], WORK / f"export-{size}"
    )


def datasets(size: str) -> None:
    from datasets import Dataset, disable_progress_bars

    from cbdata.export.rows import prompt_length
    from cbdata.jsonl import read_records

    renders = {row["render_id"]: row for _, row in read_records(files(size)["renders"])}
    kept = (
        "labels",
        "loss_mask",
        "sample_weight",
        "category",
        "class_id",
        "policy_id",
        "trace_id",
        "pair_id",
    )
    rows = []
    for _, mask in read_records(files(size)["lossmasks"]):
        render = renders[mask["render_id"]]
        tokens = {"input_ids": render["input_ids"], "attention_mask": render["attention_mask"]}
        rows.append(
            tokens | {key: mask[key] for key in kept} | {"prompt_length": prompt_length(render)}
        )
    disable_progress_bars()
    Dataset.from_list(rows).to_parquet(str(WORK / f"datasets-{size}.parquet"))


def validate(size: str) -> None:
    from cbdata.validation.run import validate as check

    findings = check(files(size).values())
    assert findings.failed == 0, findings.table()


def report(size: str) -> None:
    from cbdata.lossmask.registry import load_registry
    from cbdata.report.build import build_report
    from cbdata.report.inputs import DataSet, ReportInputs

    dataset = DataSet(size, *(files(size)[kind] for kind in ("traces", "renders", "lossmasks")))
    build_report(
        ReportInputs((dataset,), tokenizer=source()[1]),
        load_registry(),
        WORK / f"report-{size}.html",
    )


MEASURED: dict[str, Callable[[str], None]] = {
    "jsonl": jsonl,
    "export": export,
    "datasets": datasets,
    "validate": validate,
    "report": report,
}


def measure(name: str, size: str) -> tuple[float, float]:
    """Wall seconds and peak MiB of a whole process."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", name, size],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return time.perf_counter() - began, float(done.stdout.splitlines()[-1])


def browse() -> list[tuple[str, float]]:
    """Seconds that the page of the larger set takes in Chromium, the median of the repeated
    actions.
    """
    from playwright.sync_api import Page, sync_playwright

    def timed(page: Page, action: Callable[[], object]) -> float:
        began = time.perf_counter()
        action()
        while not page.evaluate("typeof STATE !== 'undefined' && STATE.shown === STATE.opened"):
            pass
        return time.perf_counter() - began

    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        opened = timed(page, lambda: page.goto((WORK / f"report-{SIZES[1]}.html").as_uri()))
        search = statistics.median(
            timed(page, lambda text=text: page.fill("#search", text))
            for text in ("bill", "send_money", "xyz", "")
        )
        step = statistics.median(timed(page, lambda: page.click("#next")) for _ in range(30))
        page.focus("#list")
        far = statistics.median(
            timed(page, lambda: page.keyboard.press("PageDown")) for _ in range(30)
        )
        browser.close()
    return [
        ("open the page", opened),
        ("search all traces", search),
        ("next trace", step),
        ("a page of the list further", far),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        {**MEASURED, "prepare": lambda _: prepare()}[arguments.child[0]](arguments.child[1])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    # In a process of its own: a child's peak memory starts at that of the process it was forked
    # from.
    measure("prepare", "")
    print(
        f"{source()[3]}; {SIZES[1]} repeats them; median of {arguments.repeats} whole processes,"
        " taken in turn"
    )
    print(f"{'':<10}{'set':>5}{'wall s':>10}{'peak MiB':>10}{'time / jsonl':>14}")
    for size in SIZES:
        runs = {name: [] for name in MEASURED}
        for _ in range(arguments.repeats):
            for name in MEASURED:
                runs[name].append(measure(name, size))
        walls = {name: statistics.median(wall for wall, _ in taken) for name, taken in runs.items()}
        for name, taken in runs.items():
            peak = statistics.median(memory for _, memory in taken)
            print(
                f"{name:<10}{size:>5}{walls[name]:>10.2f}{peak:>10.0f}"
                f"{walls[name] / walls['jsonl']:>14.2f}"
            )
    import pyarrow.parquet as pq

    for size in SIZES:
        table = pq.ParquetFile(WORK / f"export-{size}/data/train.parquet")
        tokens = sum(
            len(value)
            for batch in table.iter_batches(columns=["input_ids"])
            for value in batch.column(0)
        )
        own, default = (
            (WORK / f"export-{size}/data/train.parquet").stat().st_size,
            (WORK / f"datasets-{size}.parquet").stat().st_size,
        )
        plain = sum(files(size)[kind].stat().st_size for kind in ("renders", "lossmasks"))
        print(
            f"{size}: {table.metadata.num_rows:,} rows, {tokens:,} tokens; bytes a token: JSON"
            f" Lines {plain / tokens:.2f}, ",
            end="",
        )
        print(
            f"datasets' Parquet {default / tokens:.2f}, export {own / tokens:.2f}; page"
            f" {(WORK / f'report-{size}.html').stat().st_size / 1e6:.1f} MB"
        )
    if not arguments.no_browser:
        for action, seconds in browse():
            print(f"page of {SIZES[1]}: {action}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
