"""Build the report page of a run."""

from pathlib import Path

from cbdata.logs import configure_logging
from cbdata.lossmask.registry import load_registry
from cbdata.progress import watched
from cbdata.render.locate import locate_tokenizer
from cbdata.report.build import build_report
from cbdata.report.inputs import DataSet, ReportInputs, find_sweeps


def main() -> None:
    """Gather the files of the run and write the page."""
    configure_logging(snakemake.log[0])
    config, files = snakemake.config, snakemake.input
    columns = zip(
        snakemake.params.names,
        *(map(Path, files[kind]) for kind in ("traces", "renders", "lossmasks")),
        strict=True,
    )
    tokenizer, _ = locate_tokenizer(config["tokenizer"], config["cache_dir"])
    inputs = ReportInputs(
        datasets=tuple(
            DataSet(name, traces, renders, masks, find_sweeps(masks))
            for name, traces, renders, masks in columns
        ),
        skeletons=tuple(map(Path, files.skeletons)),
        stats=tuple(map(Path, files.stats)),
        rejects=tuple(map(Path, files.rejects)),
        benchmarks=tuple(sorted(Path(config["log_dir"], "benchmarks").rglob("*.tsv"))),
        efficiency=tuple(sorted(Path(config["log_dir"]).glob("efficiency_report_*.csv"))),
        tokenizer=tokenizer,
        attempts=snakemake.params.attempts,
        schedule=Path(files.schedule[0]) if files.schedule else None,
        step=snakemake.params.step,
        published=tuple(map(Path, files.published)),
        settings=snakemake.params.settings,
    )
    read = [path for kind in ("traces", "renders", "lossmasks") for path in files[kind]]
    with watched("report", list(map(Path, read))):
        build_report(inputs, load_registry(files.registry), Path(snakemake.output[0]))


if __name__ == "__main__":
    main()
