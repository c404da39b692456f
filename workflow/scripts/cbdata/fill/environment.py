"""The process environment of a fill job: caches of its own on node-local scratch, no network where
it is not wanted, no usage statistics.

Must run before torch, transformers or vllm are imported: they read these variables once. Variables
that the user has set win.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

LOCAL_SCRATCH_VARIABLES = ("CB_LOCAL_SCRATCH", "SLURM_TMPDIR", "TMPDIR")
SOCKET_PATH_LIMIT = 60
"""Longest folder for the engine's sockets: a Unix socket path holds 107 bytes, and vLLM adds up to
40 of its own.
"""


def local_scratch(environ: MutableMapping[str, str]) -> Path:
    """The folder on this node for files that only this job needs: the first of
    LOCAL_SCRATCH_VARIABLES that exists, else the system's.
    """
    for name in LOCAL_SCRATCH_VARIABLES:
        value = environ.get(name)
        if value and os.path.isdir(value) and os.access(value, os.W_OK):
            return Path(value)
    return Path(tempfile.gettempdir())


def prepare_environment(
    offline: bool,
    cache_dir: str | None,
    extra: Mapping[str, str],
    environ: MutableMapping[str, str] = os.environ,
) -> Path:
    """Set the variables and return the job's own scratch folder, which the caller removes at the
    end.

    Args:
        offline: Keep the libraries from asking the Hugging Face hub.
        cache_dir: Hugging Face cache of models and tokenizers; None for the user's own.
        extra: What the backend wants set besides, ``Backend.environment``.
        environ: Where the variables are set.
    """
    scratch = Path(tempfile.mkdtemp(prefix="cbfill-", dir=local_scratch(environ)))
    sockets = scratch if len(str(scratch)) <= SOCKET_PATH_LIMIT else Path(tempfile.gettempdir())
    values = {
        "VLLM_CACHE_ROOT": str(scratch / "vllm"),
        "TRITON_CACHE_DIR": str(scratch / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
        "FLASHINFER_WORKSPACE_BASE": str(scratch / "flashinfer"),
        "CUDA_CACHE_PATH": str(scratch / "cuda"),
        "VLLM_RPC_BASE_PATH": str(sockets),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # The engine's processes must not inherit this one's locks, signal handlers and open files.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "TOKENIZERS_PARALLELISM": "false",
        # Threads of a CPU computation sleep at a barrier: spinning ones take the core from those
        # they wait for, as soon as anything else runs on the machine (measured: 83 % of the time of
        # a vLLM process went into it).
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
    }
    values |= extra
    if cache_dir:
        values["HF_HUB_CACHE"] = str(Path(cache_dir).absolute())
    if offline:
        values |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    for name, value in values.items():
        environ.setdefault(name, value)
    return scratch
