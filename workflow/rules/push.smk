"""The export on the Hugging Face Hub: only where it is asked for by name, on the machine that
Snakemake runs on, because the nodes of a cluster have no network.

Inputs: the exports that the target `export` makes.
Outputs: push/receipt.json, which says what is where.
"""


def what_is_pushed():
    """The files of the target `export`. Raises ConfigError where nobody said where to."""
    if not config["export_hub_repo"]:
        raise ConfigError(
            ["export_hub_repo: push needs a repository. Fix: --config export_hub_repo=owner/name"]
        )
    return [
        path
        for export in EXPORTS
        if not export.by_request
        for path in getattr(rules, f"export_{export.name}").output
    ]


rule push:
    """Put the export on the Hugging Face Hub, as export_hub_repo (private by default)."""
    input:
        lambda wildcards: found_input(what_is_pushed),
    output:
        f"{OUT}/push/receipt.json",
    log:
        log_file("push", "push"),
    benchmark:
        benchmark_file("push", "push")
    localrule: True
    conda:
        ENVIRONMENT
    params:
        folder=as_given(f"{OUT}/export"),
        outputs=[
            path for export in EXPORTS if not export.by_request for path in export.outputs.values()
        ],
        repo=as_given(config["export_hub_repo"]),
        private=config["export_hub_private"],
        code=code_digest("push"),
    message:
        "Put the export on the Hugging Face Hub."
    script:
        "../scripts/push.py"
