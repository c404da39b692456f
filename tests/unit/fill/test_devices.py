"""What a job is found to hold and to see."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from cbdata.fill import devices
from cbdata.fill.devices import (
    Gpu,
    TorchSees,
    describe_gpus,
    driver_version,
    held_gpus,
    listed_devices,
    processor,
    torch_sees,
    weight_type,
    why_no_gpu,
)
from cbdata.fill.settings import WeightType


@pytest.mark.parametrize(
    ("listed", "devices"),
    [
        ("0", ["0"]),
        ("0,1,2,3", ["0", "1", "2", "3"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("GPU-8932f937-d72c,MIG-b7f824fd", ["GPU-8932f937-d72c", "MIG-b7f824fd"]),
        ("1, 3", ["1", "3"]),
        ("0,-1,2", ["0"]),
    ],
)
def test_a_list_ends_at_the_first_entry_that_is_no_device(listed: str, devices: list[str]) -> None:
    assert listed_devices(listed) == devices


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SLURM_JOB_GPUS": "0"}, "SLURM_JOB_GPUS=0"),
        ({"SLURM_JOB_GPUS": "0,1", "CUDA_VISIBLE_DEVICES": ""}, "SLURM_JOB_GPUS=0,1"),
        ({"SLURM_STEP_GPUS": "3"}, "SLURM_STEP_GPUS=3"),
        ({"CUDA_VISIBLE_DEVICES": "MIG-b7f8"}, "CUDA_VISIBLE_DEVICES=MIG-b7f8"),
        ({"ROCR_VISIBLE_DEVICES": "0"}, "ROCR_VISIBLE_DEVICES=0"),
        ({"HIP_VISIBLE_DEVICES": "1"}, "HIP_VISIBLE_DEVICES=1"),
        ({"SLURM_GPUS_ON_NODE": "2"}, "SLURM_GPUS_ON_NODE=2"),
        ({"SLURM_GPUS": "h100:2"}, "SLURM_GPUS=h100:2"),
        ({"SLURM_GPUS_ON_NODE": "0"}, None),
        ({"SLURM_GPUS": "h100:0"}, None),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, None),
        ({"CUDA_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": ""}, None),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, None),  # every CUDA container has it
        ({}, None),
    ],
)
def test_what_shows_that_a_job_holds_a_gpu(environ: dict[str, str], said: str | None) -> None:
    assert held_gpus(0, environ) == said


def test_what_the_rule_asked_an_executor_for_counts_too() -> None:
    assert held_gpus(2, {}) == "the rule asked for gpu=2"
    assert held_gpus(2, {"SLURM_JOB_GPUS": "0"}) == "SLURM_JOB_GPUS=0"


CPUINFO = "processor\t: 0\nmodel name\t: A {name}\nflags\t\t: fpu avx2 {flags}\n\n"


@pytest.mark.parametrize(
    ("flags", "has", "chosen"),
    [
        ("", (), "float32"),
        ("avx512f avx512_vnni", (), "float32"),
        ("avx512f avx512_bf16", ("avx512_bf16",), "bfloat16"),
        ("amx_tile amx_bf16 avx512_bf16", ("amx_bf16", "avx512_bf16"), "bfloat16"),
    ],
)
def test_the_weight_type_of_a_cpu_follows_its_flags(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: str,
    has: tuple[str, ...],
    chosen: WeightType,
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO.format(name="Xeon", flags=flags) * 2)
    assert processor(file) == ("A Xeon", has)
    monkeypatch.setattr(devices, "processor", lambda: ("A Xeon", has))
    assert weight_type("auto", "cpu") == chosen
    assert weight_type("auto", "cuda") == "auto"
    for given in ("float32", "bfloat16", "float16"):
        assert weight_type(given, "cpu") == given == weight_type(given, "cuda")


def test_a_machine_that_does_not_tell_its_processor_has_no_bfloat16(tmp_path: Path) -> None:
    assert processor(tmp_path / "none") == ("a CPU", ())


def test_the_driver_is_the_one_that_the_kernel_has(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert driver_version(file) is None
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    assert driver_version(file) == "580.65.06"


def answer(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "") -> None:
    """Let the process that asks torch print this."""
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=stdout, stderr=stderr)
    )


def test_what_torch_sees_is_read_from_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(
        monkeypatch,
        "a warning\n"
        '{"version": "2.13.0", "built_for": "13.0", "error": "", '
        '"devices": [["H100", 85899345920]]}',
    )
    seen = torch_sees()
    assert seen == TorchSees("2.13.0", "13.0", (Gpu("H100", 80 << 30),), "")
    assert describe_gpus(seen, 1).startswith("1 of 1 visible GPUs: H100 (80.0 GiB); driver ")


@pytest.mark.parametrize(
    ("stdout", "stderr", "error"),
    [
        ("", "Traceback\nImportError: libcudart.so.13", "ImportError: libcudart.so.13"),
        ("", "", "nothing"),
        ("noise", "OSError: x", "OSError: x"),
    ],
)
def test_a_torch_that_cannot_be_used_says_why(
    monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str, error: str
) -> None:
    answer(monkeypatch, stdout, stderr)
    assert torch_sees() == TorchSees("", "", error=f"torch cannot be used: {error}")


def test_the_real_torch_answers() -> None:
    seen = torch_sees()
    assert seen.version and not (seen.gpus and not seen.built_for)


def test_too_few_gpus_are_explained_by_variables_and_driver() -> None:
    error = "Found no NVIDIA driver on your system."
    seen = TorchSees("2.13.0", "13.0", error=error)
    said = why_no_gpu(seen, {"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_GPUS": "1"})
    assert "SLURM_JOB_GPUS='1', CUDA_VISIBLE_DEVICES='0'" in said
    assert "torch 2.13.0 for 13.0" in said and said.endswith(
        "Found no NVIDIA driver on your system."
    )
    assert why_no_gpu(seen, {}).startswith("no variable names one")
