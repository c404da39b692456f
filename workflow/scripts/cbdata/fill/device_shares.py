"""The GPUs of a job divided among its engines, by the variables that the libraries read."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cbdata.fill.devices import listed_devices, torch_sees

HIP, CUDA, ROCR = "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
INTEL = "ZE_AFFINITY_MASK"


class TooFewGpus(RuntimeError):
    """A job has fewer GPUs than its engines need: says what it has, and the fix."""


def on_rocm() -> bool:
    """Whether the installed torch is built for AMD's GPUs, without importing it."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^hip\b[^=\n]*=\s*['\"]", text, re.MULTILINE) is not None


def count_gpus() -> int:
    """How many GPUs torch sees."""
    return len(torch_sees().gpus)


def device_shares(
    engines: int,
    each: int,
    environ: Mapping[str, str] = os.environ,
    rocm: Callable[[], bool] = on_rocm,
    seen: Callable[[], int] = count_gpus,
) -> list[dict[str, str]]:
    """Divide the GPUs of a job among its engines.

    Only the last of the variables that a library goes by is divided. On AMD's GPUs HIP counts among
    the devices that ROCR_VISIBLE_DEVICES leaves, so that one stays as it is.

    Args:
        engines: Engines of the job.
        each: GPUs of an engine.
        environ: The job's environment.
        rocm: Says whether torch is built for AMD's GPUs.
        seen: Counts the GPUs where no variable names them.

    Returns:
        The variables of each engine; none of them where the job has no GPU.

    Raises:
        TooFewGpus: The job has GPUs, but not enough.
    """
    where, devices = _devices(environ, rocm(), seen) if each else ("", [])
    if not devices:
        return [{} for _ in range(engines)]
    if len(devices) < engines * each:
        raise TooFewGpus(
            f"engines_per_job={engines} with {each} GPU{'s' * (each > 1)} each needs"
            f" {engines * each}, and this job has {len(devices)}"
            f" ({where}={','.join(devices)}). Fix: ask for them (the rule's gpu resource does,"
            " unless a profile sets another), or lower engines_per_job"
        )
    shares = [",".join(devices[k * each : (k + 1) * each]) for k in range(engines)]
    # vLLM refuses two lists that differ, where both are set.
    names = {where, CUDA} if where == HIP and CUDA in environ else {where}
    return [dict.fromkeys(sorted(names), share) for share in shares]


def _devices(
    environ: Mapping[str, str], rocm: bool, seen: Callable[[], int]
) -> tuple[str, Sequence[str]]:
    """The variable to divide, and the devices of the job as it names them."""
    for name in (HIP, CUDA) if rocm else (CUDA, INTEL):
        if listed := listed_devices(environ.get(name, "")):
            # Where CUDA's list is the one that HIP reads, it is divided under its own name.
            return name, listed
    outer = listed_devices(environ.get(ROCR, "")) if rocm else []
    count = len(outer) if outer else seen()
    return (HIP if rocm else CUDA), [str(number) for number in range(count)]
