"""Checks that the environment of this Python holds a list of pinned requirements, and that the
engine starts. No GPU is needed.

    .venv/bin/python tools/check_environment.py requirements.txt
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def differences(pins: dict[str, str]) -> list[str]:
    """What is missing or has another version; a build's own suffix (2.13.0+cpu) is no other one."""
    found = []
    for name, wanted in pins.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            found.append(f"{name} is missing")
            continue
        if installed != wanted and installed.split("+")[0] != wanted:
            found.append(f"{name} is {installed} and not {wanted}")
    return found


def fault(path: Path) -> str | None:
    """What is wrong with this environment and what to do, in one line; None where it is right."""
    pins = dict(PIN.findall(path.read_text()))
    if found := differences(pins):
        return f"{'; '.join(found)}. Fix: run the same command once more"
    import torch

    if "vllm" in pins and torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is not a CUDA build: an index or folder of your pip or uv "
            "settings offers it (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL, UV_FIND_LINKS, "
            f"UV_TORCH_BACKEND). Fix: rm -rf {sys.prefix}, unset that, run the same command"
        )
    from vllm import LLM  # noqa: F401

    return None


if __name__ == "__main__":
    if message := fault(Path(sys.argv[1])):
        sys.exit(message)
