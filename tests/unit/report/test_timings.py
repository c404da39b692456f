"""Run times, SLURM's efficiency and the engine's speed, from small tables."""

from __future__ import annotations

from pathlib import Path

from cbdata.report.timings import run_times, slurm_efficiency, throughput
from tests.unit.report.stats_rows import stats


def test_run_times_and_slurm_efficiency(tmp_path: Path) -> None:
    table = tmp_path / "render_traces/demo.tsv"
    table.parent.mkdir()
    table.write_text("s\th:m:s\tmax_rss\tmean_load\tcpu_time\n75.5\t0:01:15\t120.0\t99.0\t74.0\n")
    (tmp_path / "render_traces/short.tsv").write_text(
        "s\th:m:s\tmax_rss\tmean_load\tcpu_time\n0.1\t0:00:00\t-\t0.0\tNA\n"
    )
    figure = run_times(sorted(tmp_path.rglob("*.tsv")))
    assert figure.table.rows == [
        ("render_traces demo", "1 min 16 s", "120.0", "74.0", "99.0"),
        ("render_traces short", "0.1 s", "-", "-", "0.0"),
    ]
    assert slurm_efficiency([]) is None
    report = tmp_path / "efficiency_report_1.csv"
    report.write_text(
        "JobID,JobName,Elapsed,NCPUS,CPU Efficiency (%),Other\n7.0,python,00:01:00,2,41.5,x\n"
    )
    figure = slurm_efficiency([report])
    assert figure is not None and figure.table.head == (
        "JobID",
        "JobName",
        "Elapsed",
        "NCPUS",
        "CPU Efficiency (%)",
    )
    assert figure.table.rows == [("7.0", "python", "00:01:00", "2", "41.5")]


def test_a_shard_is_named_with_its_rule(tmp_path: Path) -> None:
    table = tmp_path / "benchmarks/fill_shard/b4/0-of-2.tsv"
    table.parent.mkdir(parents=True)
    table.write_text("s\n3.0\n")
    assert [row[0] for row in run_times([table]).table.rows] == ["fill_shard b4/0-of-2"]


def test_throughput_of_the_fill_stage() -> None:
    told = {
        "generated": 4,
        "reused": 2,
        "prompt_tokens": 100,
        "completion_tokens": 40,
        "prompt_tokens_per_second": 12.4,
        "completion_tokens_per_second": 5.0,
        "load_seconds": 61,
    }
    made = throughput([stats("fill", "b4_ds", 4, 4, throughput=told), stats("fill", "b4_dr", 4, 4)])
    assert made is not None and made.table.rows == [
        ("b4_ds", "4", "2", "100", "40", "12", "5", "1 min 1 s")
    ]
    assert throughput([]) is None
