"""How busy the GPU was, by nvidia-smi."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
from types import TracebackType

INTERVAL_MS = 200


class GpuLoad:
    """While it is open it notes the GPU's utilisation five times a second; nothing where there is
    no nvidia-smi.
    """

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> GpuLoad:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
            command.append(f"--id={visible}")
        try:
            self._process = subprocess.Popen(
                [*command, "-lms", str(INTERVAL_MS)], stdout=subprocess.PIPE, text=True
            )
        except OSError:
            return self
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.strip().isdigit():
                self._samples.append(float(line))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()

    def summary(self) -> dict[str, float] | None:
        """Share of the samples in which the GPU did nothing, and the mean utilisation in percent;
        None without samples.
        """
        if not self._samples:
            return None
        idle = sum(sample == 0 for sample in self._samples) / len(self._samples)
        return {"idle_share": idle, "mean_percent": statistics.mean(self._samples)}
