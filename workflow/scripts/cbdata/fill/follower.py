"""The process of an engine on a node that is not its first: it says whether the node can do its
part, then does it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from cbdata.config import ConfigError
from cbdata.fill.backends.base import Backend, BackendOverNodes, EnginePlace
from cbdata.fill.backends.registry import find_backend
from cbdata.fill.devices import held_gpus
from cbdata.fill.environment import prepare_environment
from cbdata.fill.models import ModelMissing, find_model
from cbdata.fill.node_line import Line
from cbdata.fill.nodes import NodesJob, connect
from cbdata.fill.processes import EXIT_STOPPED, kill_descendants
from cbdata.fill.runner import STOP_SIGNALS
from cbdata.fill.settings import FillSettings, RuntimeSettings

logger = logging.getLogger(__name__)

HEAD_ENDS_S = 120.0
"""How long the head may take to end after a stop signal that all nodes got."""

END_COMES_S = 1.0
"""How long word of the engine's planned end may take behind the end of its workers here."""


def log_beside(log: str | None, rank: int) -> str | None:
    """The log file of a node beside the head's."""
    return log and str(Path(log).with_suffix(f".node{rank}.log"))


def head_addresses(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Where the head is: the node from which srun was started, this one where SLURM names none.
    Nowhere else is looked, for what listens there is not the head.
    """
    launched_from = environ.get("SLURM_LAUNCH_NODE_IPADDR")
    return [launched_from or socket.gethostname()]


def follow(told: NodesJob) -> int:
    """Be a further node of an engine until it ends.

    Args:
        told: What the job's processes were told.

    Returns:
        The exit status: 0 where the head ended the engine, EXIT_STOPPED where head or engine are
        gone. While the engine works, the process ends by itself.

    Raises:
        NodesError: The head does not answer.
    """
    stopped = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        # The head gets the signal too, and ends the engine when its step is done.
        stopped.set()

    for number in STOP_SIGNALS:
        signal.signal(number, note)
    line = connect(told, head_addresses())
    node = _Node()
    try:
        while (message := line.read()) is not None:
            if "end" in message:
                return 0
            if "check" in message:
                line.send(node.check(message["check"]))
            elif "begin" in message:
                return node.serve(line, message["begin"], stopped)
        logger.error("the first node of this engine is gone")
        return EXIT_STOPPED
    finally:
        node.clean_up()
        line.close()


class _Node:
    """What this node knows of the job."""

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._model: Path | None = None
        self._scratch: Path | None = None
        self._failed = False
        self._ending = threading.Event()

    def check(self, job: dict[str, Any]) -> dict[str, Any]:
        """Look at this node as the preflight looks at the head's.

        Args:
            job: Settings, run-time settings and GPUs of the job.
        """
        settings, runtime = FillSettings(**job["settings"]), RuntimeSettings(**job["runtime"])
        problems: list[str] = []
        answer: dict[str, Any] = {"engine": "", "path": "", "fingerprint": "", "problems": problems}
        try:
            self._backend = find_backend(settings.backend_name)
        except ConfigError as error:
            problems.append(str(error))
            return answer
        self._scratch = prepare_environment(
            runtime.offline, runtime.cache_dir, self._backend.environment()
        )
        here = self._backend.look(runtime, held_gpus(job["gpus"]))
        answer["engine"] = here.description
        if here.problem:
            problems.append(here.problem)
        try:
            model = find_model(
                settings.model, settings.model_revision, runtime.cache_dir, runtime.offline
            )
            self._model = model.path
            answer |= {"path": str(model.path), "fingerprint": model.fingerprint}
        except ModelMissing as error:
            problems.append(str(error))
        return answer

    def serve(self, line: Line, message: dict[str, Any], stopped: threading.Event) -> int:
        """Do this node's part of the engine.

        Args:
            line: To the head.
            message: The engine's arguments, and this node's place.
            stopped: Set where a stop signal came.
        """
        arguments, place = message["arguments"], EnginePlace(**message["place"])
        backend: object = self._backend
        watch = threading.Thread(target=self._end_with_the_head, args=(line,), daemon=True)
        watch.start()
        why = "its part of the engine ended"
        try:
            if self._model is None or not isinstance(backend, BackendOverNodes):
                raise RuntimeError("the engine began on a node that cannot do its part")
            backend.follow(self._model, arguments, place)
        except Exception as error:
            logger.exception("this node's part of the engine failed")
            why = f"{type(error).__name__}: {error}"
        # The watching thread ends this process; the workers that it kills on the way end the
        # engine's part above before it is done.
        watch.join(END_COMES_S)
        if stopped.is_set() or self._ending.is_set():
            watch.join(HEAD_ENDS_S)
        self._failed = True
        logger.error("%s", why)
        # The head may be gone too.
        with contextlib.suppress(OSError):
            line.send({"failed": why})
        return EXIT_STOPPED

    def _end_with_the_head(self, line: Line) -> None:
        """End this process when the head says so, or is gone: an engine that waits for another
        node listens to nobody.
        """
        message = line.read()
        if self._failed:
            return
        self._ending.set()
        logger.info("the engine's end: %s", "as planned" if message else "its first node is gone")
        self.clean_up()
        logging.shutdown()
        os._exit(0 if message else EXIT_STOPPED)

    def clean_up(self) -> None:
        """End what this process started, and remove what it alone needed."""
        kill_descendants()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
