"""What a fill job may compute on: the GPUs that it holds, those that torch sees, and what the
processor multiplies fast.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cbdata.fill.settings import WeightType

DeviceKind = Literal["cpu", "cuda"]

HELD_LISTS = (
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
"""Variables with the devices of a job, as numbers, UUIDs or MIG names: those of SLURM, then those
that NVIDIA's, AMD's and Intel's libraries read.
"""

HELD_COUNTS = ("SLURM_GPUS_ON_NODE", "SLURM_GPUS")
"""Variables with a number of GPUs, perhaps behind a model's name (``h100:2``)."""

NO_DEVICE = ("", "-1", "nodevfiles", "none", "void")
"""What stands in a list where there is no device; SLURM writes NoDevFiles."""

BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")
"""Flags of /proc/cpuinfo. With either of them a processor multiplies bfloat16 three times as fast
as float32 (305 against 98 GFLOP/s, two cores with AMX), without them four times slower (17.8
against 76.7 on two cores with AVX2; benchmarks/fill).
"""

LOOK_LIMIT_S = 180
"""Longest wait for torch to be imported and to find the driver: minutes on a cold network disk."""

LOOK = """
import json, warnings
warnings.simplefilter("ignore")
import torch
facts = {"version": torch.__version__, "built_for": torch.version.cuda or torch.version.hip or ""}
facts |= {"error": "", "devices": []}
try:
    if facts["built_for"]:
        torch.cuda.init()
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            facts["devices"].append([device.name, device.total_memory])
except Exception as error:
    facts["error"] = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
print(json.dumps(facts))
"""
"""In a process of its own: asking opens a context, which takes GPU memory while the process
lives.
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG part of one, as torch sees it; memory in bytes."""

    name: str
    memory: int


@dataclass(frozen=True)
class TorchSees:
    """What torch found.

    ``built_for`` is the CUDA or ROCm version of this build of torch, empty for a CPU build;
    ``error`` says why it found nothing, where it knows.
    """

    version: str
    built_for: str
    gpus: tuple[Gpu, ...] = field(default=())
    error: str = ""


def torch_sees() -> TorchSees:
    """Ask torch, in a process that ends at once."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=LOOK_LIMIT_S
        )
        facts = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return TorchSees("", "", error=f"torch did not answer within {LOOK_LIMIT_S} s")
    except (IndexError, ValueError):
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return TorchSees("", "", error=f"torch cannot be used: {said}")
    gpus = tuple(Gpu(str(name), int(memory)) for name, memory in facts["devices"])
    return TorchSees(facts["version"], facts["built_for"], gpus, facts["error"])


def listed_devices(value: str) -> list[str]:
    """The devices that a value of CUDA_VISIBLE_DEVICES or of its like names: those before the first
    entry that is none, which is how CUDA reads it.
    """
    entries: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry.lower() in NO_DEVICE:
            break
        entries.append(entry)
    return entries


def held_gpus(rule_gpus: int = 0, environ: Mapping[str, str] = os.environ) -> str | None:
    """Say what shows that this job holds a GPU, such as ``SLURM_JOB_GPUS=0``, or None.

    Args:
        rule_gpus: GPUs that the rule asked an executor for; 0 where none gave the job its machine.
        environ: The job's environment.
    """
    for name in HELD_LISTS:
        if listed_devices(environ.get(name, "")):
            return f"{name}={environ[name]}"
    for name in HELD_COUNTS:
        if any(int(number) for number in re.findall(r"\d+(?=$|,)", environ.get(name, ""))):
            return f"{name}={environ[name]}"
    return f"the rule asked for gpu={rule_gpus}" if rule_gpus > 0 else None


def driver_version(file: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """The version of NVIDIA's driver, None where there is none."""
    try:
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", file.read_text())
    except OSError:
        return None
    return found[1] if found else None


def processor(file: Path = Path("/proc/cpuinfo")) -> tuple[str, tuple[str, ...]]:
    """Name of the processor, and those of BFLOAT16_FLAGS that it has."""
    try:
        text = file.read_text()
    except OSError:
        return "a CPU", ()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    have = set(flags[1].split()) if flags else set()
    return name[1].strip() if name else "a CPU", tuple(
        flag for flag in BFLOAT16_FLAGS if flag in have
    )


def describe_cpu() -> str:
    """The processor for the log: name, cores of this job, what it has for bfloat16."""
    name, flags = processor()
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} core{'s' * (cores > 1)}, {', '.join(flags) or 'no bfloat16'}"


def describe_gpus(seen: TorchSees, wanted: int) -> str:
    """The GPUs of an engine for the log: how many of those it sees, names, memory, driver."""
    cards = [f"{gpu.name} ({gpu.memory / 2**30:.1f} GiB)" for gpu in seen.gpus[:wanted]]
    return (
        f"{len(cards)} of {len(seen.gpus)} visible GPUs: {', '.join(cards) or 'none'}; driver"
        f" {driver_version() or 'unknown'}, torch {seen.version} for {seen.built_for or 'CPUs'}"
    )


def why_no_gpu(seen: TorchSees, environ: Mapping[str, str] = os.environ) -> str:
    """What is known about a job that sees fewer GPUs than it should."""
    listed = [f"{name}={environ[name]!r}" for name in HELD_LISTS if name in environ]
    return "; ".join(
        [
            ", ".join(listed) or "no variable names one",
            f"driver {driver_version() or 'not loaded'}",
            f"torch {seen.version or 'unknown'} for {seen.built_for or 'CPUs'}",
            *filter(None, [seen.error]),
        ]
    )


def weight_type(dtype: WeightType, device: DeviceKind) -> WeightType:
    """The type to load weights as.

    Under ``auto`` a GPU has the engine's own choice, and a CPU the type that it multiplies fastest:
    bfloat16 where the processor has instructions for it, else float32.
    """
    if dtype != "auto" or device == "cuda":
        return dtype
    return "bfloat16" if processor()[1] else "float32"
