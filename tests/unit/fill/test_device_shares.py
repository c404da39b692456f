"""The GPUs of a job divided among its engines."""

from __future__ import annotations

import pytest

from cbdata.fill.device_shares import TooFewGpus, device_shares

CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("environ", "rocm", "seen", "each", "shares"),
    [
        ({CUDA: "0,1,2,3"}, False, 9, 2, [{CUDA: "0,1"}, {CUDA: "2,3"}]),
        # More than needed: the rest stands idle, as the site gave it.
        ({CUDA: "3,5,7"}, False, 9, 1, [{CUDA: "3"}, {CUDA: "5"}]),
        (
            {CUDA: "MIG-a,MIG-b", "SLURM_JOB_GPUS": "0"},
            False,
            0,
            1,
            [{CUDA: "MIG-a"}, {CUDA: "MIG-b"}],
        ),
        # SLURM sets all of them where it does not know the make: each library reads its own.
        ({CUDA: "0,1", ROCR: "0,1"}, False, 9, 1, [{CUDA: "0"}, {CUDA: "1"}]),
        # HIP counts among what ROCR leaves.
        ({ROCR: "4,5,6,7"}, True, 9, 2, [{HIP: "0,1"}, {HIP: "2,3"}]),
        ({ROCR: "4,5", HIP: "1,0"}, True, 9, 1, [{HIP: "1"}, {HIP: "0"}]),
        ({HIP: "2,3", CUDA: "2,3"}, True, 9, 1, [{HIP: "2", CUDA: "2"}, {HIP: "3", CUDA: "3"}]),
        ({CUDA: "2,3"}, True, 9, 1, [{CUDA: "2"}, {CUDA: "3"}]),
        (
            {"ZE_AFFINITY_MASK": "0,1"},
            False,
            0,
            1,
            [{"ZE_AFFINITY_MASK": "0"}, {"ZE_AFFINITY_MASK": "1"}],
        ),
        # Nothing names them: a machine without a scheduler.
        ({}, False, 4, 2, [{CUDA: "0,1"}, {CUDA: "2,3"}]),
        ({}, True, 2, 1, [{HIP: "0"}, {HIP: "1"}]),
        ({CUDA: "NoDevFiles"}, False, 0, 1, [{}, {}]),
        ({CUDA: "0"}, False, 1, 0, [{}, {}]),
    ],
)
def test_each_engine_sees_its_own(
    environ: dict[str, str], rocm: bool, seen: int, each: int, shares: list[dict[str, str]]
) -> None:
    assert device_shares(2, each, environ, lambda: rocm, lambda: seen) == shares


def test_too_few_is_an_error_that_names_them() -> None:
    with pytest.raises(TooFewGpus, match=r"engines_per_job=4 with 2 GPUs each needs 8, and") as why:
        device_shares(4, 2, {CUDA: "0,1,2,3"}, lambda: False, lambda: 0)
    assert "this job has 4 (CUDA_VISIBLE_DEVICES=0,1,2,3)" in str(why.value)
