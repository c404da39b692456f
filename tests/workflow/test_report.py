"""The targets validate, export and report on the demo's transcripts, as a user calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from cbdata.jsonl import read_records
from cbdata.run_inputs import CHEAP_REPORT_BYTES
from tests.workflow.command import Snakemake
from tests.workflow.plans import planned_jobs

pytestmark = pytest.mark.workflow

TARGETS = ("lossmask", "validate", "export", "report", "export_prompt_output")


class Run:
    """A finished run over the demo's AgentDojo transcripts; no model is needed for it."""

    def __init__(self, folder: Path, snakemake: Snakemake, demo_model: Path) -> None:
        self.data, self._call = folder / "data", snakemake
        settings = {
            "fujitsu_b4_path": None,
            "agentdojo_path": "config/demo/agentdojo.jsonl",
            "tokenizer": str(demo_model),
        }
        settings |= {
            "output_base": str(self.data),
            "log_dir": str(folder / "logs"),
            "split": {"train": 0.7, "eval": 0.3},
        }
        self.configfile = folder / "config.yaml"
        self.configfile.write_bytes(orjson.dumps(settings))

    def call(self, *arguments: str, **options: Any) -> Any:
        return self._call(
            "--cores",
            "2",
            "--nolock",
            "--configfile",
            "config/config.yaml",
            self.configfile,
            *arguments,
            **options,
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake, demo_model: Path) -> Run:
    run = Run(tmp_path_factory.mktemp("report"), snakemake, demo_model)
    run.call("--", *TARGETS)
    return run


def test_every_check_passed_and_most_were_made(run: Run) -> None:
    result = orjson.loads((run.data / "validation/validation.json").read_bytes())
    assert result["passed"] is True
    made = {name for name, check in result["checks"].items() if check["checked"]}
    assert {
        "trace_schema",
        "render_spans",
        "lossmask_policy",
        "lossmask_roles",
        "lossmask_complete",
        "conservation",
    } <= made
    assert "PASSED" in (run.data / "validation/validation.txt").read_text()


def test_the_export_is_the_loss_masks_split_by_split(run: Run) -> None:
    masks = [mask for _, mask in read_records(run.data / "lossmasks/agentdojo_complete.jsonl")]
    exported = {
        path.stem: pq.read_table(path).to_pylist()
        for path in (run.data / "export/data").glob("*.parquet")
    }
    assert set(exported) == {mask["split"] for mask in masks} and len(exported) == 2
    for split, rows in exported.items():
        expected = [mask for mask in masks if mask["split"] == split]
        assert [(row["trace_id"], row["labels"], row["loss_mask"]) for row in rows] == [
            (mask["trace_id"], mask["labels"], mask["loss_mask"]) for mask in expected
        ]
    assert orjson.loads((run.data / "export/pairs.json").read_bytes())["rows_in"] == len(masks)


def test_the_page_is_there_and_names_its_traces(run: Run) -> None:
    page = (run.data / "report/index.html").read_text(encoding="utf-8").replace("<wbr>", "")
    traces = [trace for _, trace in read_records(run.data / "traces/agentdojo_complete.jsonl")]
    assert all(trace["id"] in page for trace in traces)
    assert "Funnel of agentdojo_complete" in page and "Run times" in page


def test_a_whole_run_ends_with_the_page_and_says_where_it_is(run: Run) -> None:
    page = run.data / "report/index.html"
    page.unlink()
    assert f"Look at them: {page}" in run.call().output
    text = page.read_text(encoding="utf-8")
    # Nothing was generated, so no model is a setting of the run.
    footer = text[text.index("<footer>") : text.index("</footer>")]
    assert "· seed 0" in footer and "· model" not in footer and "Llama" not in footer
    # The target of all the above asks for it, so that nothing is made anew for this one.
    assert planned_jobs(run.call("-n", "--", *TARGETS).output) == {}


def test_a_run_over_much_data_says_how_to_make_the_page(run: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_text('{"messages": []}\n')
    with open(raw, "ab") as file:
        file.truncate(CHEAP_REPORT_BYTES + 1)
    planned = run.call("-n", "--config", f"agentdojo_path={raw}").output
    assert "To look at them: snakemake report, with the same settings" in planned
    assert "build_report" not in planned_jobs(planned)


def test_nothing_is_made_twice(run: Run) -> None:
    assert planned_jobs(run.call("-n", "--", *TARGETS).output) == {}


def test_snakemakes_own_report_bundles_page_checks_and_card(run: Run) -> None:
    bundle = run.data.parent / "report.html"
    # Of the default target too, which is what one asks for after a run.
    run.call("--report", run.data.parent / "default.html")
    assert "Report page with the token viewer" in (run.data.parent / "default.html").read_text()
    run.call("--report", bundle, "--", *TARGETS)
    text = bundle.read_text(encoding="utf-8")
    for label in (
        "Report page with the token viewer",
        "Checks of every file",
        "Data set card",
        "training-ready loss masks",
    ):
        assert label in text


def test_a_damaged_file_fails_the_validate_target_with_the_table_kept(run: Run) -> None:
    path = run.data / "lossmasks/agentdojo_complete.jsonl"
    whole = path.read_bytes()
    mask = orjson.loads(whole.splitlines()[0])
    mask["labels"] = [*mask["labels"][1:], -100]
    try:
        path.write_bytes(orjson.dumps(mask) + b"\n" + b"".join(whole.splitlines(keepends=True)[1:]))
        done = run.call("--", "validate", check=False)
        assert done.status != 0 and "validation failed: lossmask_labels 1" in done.output
        assert "Traceback" not in done.output
        results = orjson.loads((run.data / "validation/validation.json").read_bytes())
        assert not results["passed"] and results["checks"]["lossmask_labels"]["failed"] == 1
        assert "FAILED: 1 failures" in (run.data / "validation/validation.txt").read_text()
        assert not (run.data / "validation/passed.txt").exists()
        again = run.call("--", "validate", check=False)
        assert again.status != 0 and planned_jobs(run.call("-n", "--", "validate").output) == {
            "require_passed": 1,
            "validate": 1,
        }
    finally:
        path.write_bytes(whole)
