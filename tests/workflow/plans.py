"""Reading what ``snakemake -n`` plans."""

from __future__ import annotations

import re


def planned_jobs(output: str) -> dict[str, int]:
    """Rule -> number of jobs, from the job table of a dry run; empty where nothing is to
    be done.
    """
    match = re.search(r"^job +count\n-+ +-+\n((?:\S+ +\d+\n)+)", output, re.MULTILINE)
    if match is None:
        return {}
    jobs = {rule: int(count) for rule, count in (line.split() for line in match[1].splitlines())}
    return {rule: count for rule, count in jobs.items() if rule != "total"}
