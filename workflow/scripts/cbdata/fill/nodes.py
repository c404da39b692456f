"""One engine over several nodes: who they are, and what they tell each other.

``srun`` starts the same process on each node. The first one, the head, does the fill job; the
others hold a connection to it. Over it they hear which model is meant, say whether they have it and
enough GPUs, get the engine's arguments, and hear of its end. Either side notices when the other is
gone. What the parts of the engine tell each other is the engine's own business.

Messages are lines of JSON. Other users of a node may listen and connect there too, so both sides
must show that they know the job's secret (``node_hello``), which is in the environment of the job's
processes alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import selectors
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from signal import SIGTERM, SIGUSR2
from typing import Any

import orjson

from cbdata.fill.backends.base import EngineAway, EngineNodes, EnginePlace
from cbdata.fill.job import FillJob
from cbdata.fill.job_shape import on_a_node_of_slurm
from cbdata.fill.models import LocalModel
from cbdata.fill.node_hello import meet_head, meet_node
from cbdata.fill.node_line import Line
from cbdata.fill.preflight import PreflightError
from cbdata.fill.processes import EXIT_STOPPED, Command, run_all

logger = logging.getLogger(__name__)

VARIABLE = "CB_FILL_NODES"
"""Environment variable of the processes of such a job: NodesJob as JSON."""

JOIN_S = 600.0
"""How long nodes wait for each other: a first import from a cold network disk takes minutes."""

CONNECT_S = 10.0
"""How long a connection to the head may take."""

LEAVE_S = 10.0
"""How long nodes may take to go when the engine has ended."""

AGAIN_S = 0.5
"""Seconds between two looks for the head, or for who has come."""


class NodesError(RuntimeError):
    """The nodes of an engine do not come together: says which is missing."""


@dataclass(frozen=True)
class NodesJob:
    """What every process of an engine over several nodes is told.

    ``port`` is where the head listens, ``engine_port`` where its engine does. By ``secret`` they
    know each other. ``log`` is the head's log file.
    """

    nodes: int
    port: int
    engine_port: int
    secret: str
    log: str | None

    @classmethod
    def here(cls, environ: Mapping[str, str] = os.environ) -> NodesJob | None:
        """The one that this process belongs to, None where it belongs to none."""
        said = environ.get(VARIABLE)
        return cls(**orjson.loads(said)) if said else None


def node_rank(environ: Mapping[str, str] = os.environ) -> int:
    """The number of this process among those of the job; 0 is the head."""
    return int(environ["SLURM_PROCID"])


def node_name(environ: Mapping[str, str] = os.environ) -> str:
    """What SLURM calls this node."""
    return environ.get("SLURMD_NODENAME") or socket.gethostname()


def srun_problem(environ: Mapping[str, str] = os.environ) -> str | None:
    """Why no process can be started on several nodes from here; None if it can."""
    if not on_a_node_of_slurm(environ):
        return (
            "nodes_per_engine: an engine over several nodes needs a SLURM job, and this is none."
            " Fix: snakemake --profile slurm, or start it on the first node of the allocation, or"
            " leave nodes_per_engine out"
        )
    if shutil.which("srun") is None:
        return "nodes_per_engine: there is no srun on this node. Fix: put it on PATH"
    return None


def run_on_nodes(job: FillJob, job_file: str) -> int:
    """Start the processes of a job, one on each node, and wait for them.

    Args:
        job: The job.
        job_file: Its file, which the head reads again.

    Returns:
        The job's exit status: the head's, or EXIT_STOPPED where a process was killed.

    Raises:
        PreflightError: They cannot be started from here.
    """
    if problem := srun_problem():
        raise PreflightError(f"this fill job cannot run here:\n  - {problem}")
    count = job.runtime.nodes_per_engine
    port, engine_port = _free_ports(2)
    told = NodesJob(count, port, engine_port, secrets.token_hex(16), job.log)
    words = [
        "srun",
        f"--nodes={count}",
        f"--ntasks={count}",
        "--ntasks-per-node=1",
        # One that ends badly takes the others along: no node is billed for waiting.
        "--kill-on-bad-exit=1",
        # A site may end a step so long after its first process did (WaitTime); the head may still
        # have rows to write.
        "--wait=0",
        "--cpu-bind=none",
        "--mpi=none",
        sys.executable,
        "-m",
        "cbdata.fill",
        job_file,
    ]
    logger.info("one engine over %d nodes: %s", count, " ".join(words))
    # Told to end, srun kills its processes at once; what it does not know it passes on to them.
    environ = {VARIABLE: orjson.dumps(asdict(told)).decode()}
    (status,) = run_all([Command(words, environ)], {SIGTERM: SIGUSR2})
    return status if status in (0, 1, 2) else EXIT_STOPPED


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Head(EngineNodes):
    """The first node of an engine.

    Args:
        told: What the job's processes were told.
        lost: Called with the reason where a node is gone while the engine works; ends this process,
            since the engine can neither go on nor be stopped.
        environ: Where VLLM_HOST_IP is set to the address that the other nodes reach.

    Raises:
        EngineAway: Another process listens on its port by now.
    """

    def __init__(
        self,
        told: NodesJob,
        lost: Callable[[str], None],
        environ: MutableMapping[str, str] = os.environ,
    ) -> None:
        self._told, self._lost, self._environ = told, lost, environ
        try:
            self._listener = socket.create_server(("", told.port), backlog=told.nodes)
        except OSError as error:
            raise EngineAway(
                f"port {told.port} of {node_name()}, which was free when the job chose it, cannot"
                f" be listened on ({error.strerror}); run the job again, which takes another"
            ) from error
        self._nodes: dict[int, tuple[str, Line]] = {}
        self._over = threading.Event()
        self._address = ""
        self._came: queue.SimpleQueue[tuple[int, str, Line]] = queue.SimpleQueue()

    def gather(self) -> None:
        """Wait until all nodes are there. Raises PreflightError where one is missing."""
        end = time.monotonic() + JOIN_S
        threading.Thread(target=self._listen, daemon=True, name="nodes-listen").start()
        while len(self._nodes) < self._told.nodes - 1:
            try:
                rank, name, line = self._came.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                missing = sorted(set(range(1, self._told.nodes)) - self._nodes.keys())
                there = ", ".join([node_name(), *(name for name, _ in self._nodes.values())])
                raise PreflightError(
                    f"node {', '.join(map(str, missing))} of {self._told.nodes} did not report"
                    f" within {JOIN_S:.0f} s; there are {there}. Fix: look at its log beside this"
                    f" one, and whether nodes reach each other's ports (here {self._told.port})"
                ) from None
            if rank in self._nodes:
                # It had no answer in time, and tried again.
                self._nodes[rank][1].close()
            self._address = line.sock.getsockname()[0]
            self._nodes[rank] = (name, line)
        self._environ.setdefault("VLLM_HOST_IP", self._address)

    def _listen(self) -> None:
        """Take connections until the end. Each is heard on its own, so that a stranger who says
        nothing keeps no node waiting.
        """
        self._listener.settimeout(AGAIN_S)
        while not self._over.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                # Closed, or no descriptor is free for the moment.
                self._over.wait(AGAIN_S)
                continue
            threading.Thread(target=self._hear, args=(Line(sock),), daemon=True).start()

    def _hear(self, line: Line) -> None:
        """Take a node of this job for one, and let anyone else go."""
        if (found := meet_node(line, self._told.secret, self._told.nodes)) is None:
            line.close()
        else:
            self._came.put((*found, line))

    def check(self, job: FillJob, model: LocalModel, engine: str) -> None:
        """See that each node can do its part of the job.

        Args:
            job: The job.
            model: The model as it is here.
            engine: What the engine is, and runs on, here: for the log.

        Raises:
            PreflightError: A node cannot do its part; every problem, with its node.
        """
        logger.info("node 0 %s: %s", node_name(), engine)
        question = {
            "check": {
                "settings": asdict(job.settings),
                "runtime": asdict(job.runtime),
                "gpus": job.gpus,
            }
        }
        for _, line in self._nodes.values():
            try:
                line.send(question)
            except OSError:
                # It is gone, and gives no answer below.
                line.close()
        problems = []
        for rank, (name, line) in sorted(self._nodes.items()):
            answer = line.read(JOIN_S)
            if answer is None:
                problems.append(f"node {name} ended while its model was looked at")
                continue
            logger.info("node %d %s: %s", rank, name, answer["engine"])
            problems += [f"node {name}: {problem}" for problem in answer["problems"]]
            if not answer["problems"] and answer["fingerprint"] != model.fingerprint:
                problems.append(
                    f"node {name}: {answer['path']} is another model than on node {node_name()}"
                    f" (its content has the fingerprint {answer['fingerprint'][:12]}, there it is"
                    f" {model.fingerprint[:12]}). Fix: copy the same files to all nodes"
                )
        if problems:
            raise PreflightError(
                "this engine over several nodes cannot start:\n  - " + "\n  - ".join(problems)
            )

    @property
    def place(self) -> EnginePlace:
        """See EngineNodes.place."""
        told = self._told
        return EnginePlace(rank=0, count=told.nodes, address=self._address, port=told.engine_port)

    def begin(self, arguments: Mapping[str, Any]) -> None:
        """See EngineNodes.begin. Raises EngineAway where a node is gone."""
        whole = asdict(self.place)
        for rank, (name, line) in self._nodes.items():
            try:
                line.send({"begin": {"arguments": arguments, "place": {**whole, "rank": rank}}})
            except OSError as error:
                raise EngineAway(
                    f"node {name} of this engine was gone before it began; run the job again"
                ) from error
        threading.Thread(target=self._watch, daemon=True, name="nodes-watch").start()

    def end(self) -> None:
        """See EngineNodes.end."""
        if not self._over.is_set():
            self._over.set()
            for _, line in self._nodes.values():
                with contextlib.suppress(OSError):
                    line.send({"end": True})
            self._listener.close()

    def see_off(self) -> None:
        """End the engine, and wait until the other nodes are gone, LEAVE_S at most."""
        self.end()
        until = time.monotonic() + LEAVE_S
        for _, line in self._nodes.values():
            while line.read(until - time.monotonic()) is not None:
                pass

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for name, line in self._nodes.values():
                selector.register(line.sock, selectors.EVENT_READ, (name, line))
            while not self._over.is_set():
                for key, _ in selector.select(0.5):
                    name, line = key.data
                    said = line.read(5.0)
                    if not self._over.is_set():
                        why = said.get("failed") if said else "its process is gone"
                        self._lost(f"node {name} of this engine ended: {why}")
                        return


def connect(
    told: NodesJob, addresses: Sequence[str], environ: MutableMapping[str, str] = os.environ
) -> Line:
    """Connect to the head from another node.

    Args:
        told: What the job's processes were told.
        addresses: Where the head may be.
        environ: Where VLLM_HOST_IP is set to this node's address on the way there.

    Raises:
        NodesError: It does not answer.
    """
    end = time.monotonic() + JOIN_S
    while True:
        for address in addresses:
            try:
                sock = socket.create_connection((address, told.port), timeout=CONNECT_S)
            except OSError as error:
                why = str(error)
                continue
            own, line = sock.getsockname()[0], Line(sock)
            if meet_head(line, told.secret, node_rank(environ), node_name(environ)):
                environ.setdefault("VLLM_HOST_IP", own)
                return line
            line.close()
            why = "what listens there is not the head"
        if time.monotonic() > end:
            raise NodesError(f"the first node does not answer at {', '.join(addresses)}: {why}")
        time.sleep(AGAIN_S)
