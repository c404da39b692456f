"""What every backend gives: a check before the model is loaded, what it asks of its machine, and an
engine that completes token-id prompts from a queue that may still grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cbdata.fill.devices import DeviceKind
from cbdata.fill.requests import Request
from cbdata.fill.settings import EngineSettings, RuntimeSettings, WeightType
from cbdata.records import BackendName


class EngineDied(RuntimeError):
    """The engine is gone; what finished before is kept in the progress store."""


class EngineAway(EngineDied):
    """The engine runs elsewhere, and was not heard of for too long; the job itself is right."""


@dataclass(frozen=True)
class Generated:
    """What the engine wrote for one request.

    ``token_ids`` holds every generated token, a final end-of-turn token included. ``finish_reason``
    is ``stop`` (an end-of-turn token) or ``length`` (``max_tokens`` reached). ``cached_tokens`` of
    the prompt came from the engine's prefix cache; None where the engine has none, or does not say.
    """

    request: Request
    token_ids: tuple[int, ...]
    finish_reason: str
    cached_tokens: int | None = None


@dataclass(frozen=True)
class Refusal:
    """A request that the engine would not take; the others go on."""

    request: Request
    detail: str


class RequestQueue:
    """Requests not yet handed to the engine, in the order in which they should run."""

    def __init__(self, requests: Iterable[Request] = ()) -> None:
        self._waiting = deque(requests)

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, count: int) -> list[Request]:
        """Remove and return up to ``count`` requests."""
        return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def put_first(self, requests: Sequence[Request]) -> None:
        """Put further attempts before the rest: their prompts are still in the engine's prefix
        cache.
        """
        self._waiting.extendleft(reversed(requests))


class Engine(Protocol):
    """A loaded model. Name and version are kept with every completion."""

    @property
    def name(self) -> BackendName:
        """The backend's name."""
        ...

    @property
    def version(self) -> str:
        """The version of the software that generates."""
        ...

    def generate(self, queue: RequestQueue) -> Generator[list[Generated | Refusal], None, None]:
        """Yield what finished, in lists as it finishes, until queue and engine are empty.

        The caller may put more requests into the queue between two lists. Closing the iterator
        aborts what is in flight. Raises EngineDied.
        """
        ...

    def close(self) -> None:
        """Free the engine; never raises for noise at exit."""
        ...


@dataclass(frozen=True, kw_only=True)
class EnginePlace:
    """The place of a process in an engine over several nodes: number ``rank`` of ``count``, counted
    from 0. The parts of the engine meet at the first node's ``address`` and ``port``.
    """

    rank: int
    count: int
    address: str
    port: int


class EngineNodes(Protocol):
    """The nodes of an engine, as its first one sees them: all are there, and each has the model."""

    @property
    def place(self) -> EnginePlace:
        """The first node's place."""
        ...

    def begin(self, arguments: Mapping[str, Any]) -> None:
        """Let the other nodes load their part of the model.

        Args:
            arguments: What ``Backend.follow`` gets there: values of JSON.
        """
        ...

    def end(self) -> None:
        """Say that the engine ends as planned; may be called twice. Called before the engine is
        shut down, so that its end is not taken for a death.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What an engine is opened with.

    ``model`` is a local folder. ``max_model_len`` bounds prompt plus completion in tokens.
    ``device`` is what the backend said it would compute on, ``dtype`` the weight type on it.
    ``seed`` is the run's: each request brings its own, so an engine may leave it alone.
    ``stop_token_ids`` end a completion beside the tokens that the model's own files name.
    ``served_name`` is what a server calls the model. ``nodes`` are those of an engine over several.
    """

    model: Path
    runtime: RuntimeSettings
    engine: EngineSettings
    device: DeviceKind
    dtype: WeightType
    max_model_len: int
    seed: int
    stop_token_ids: tuple[int, ...] = ()
    served_name: str = ""
    nodes: EngineNodes | None = None


@dataclass(frozen=True)
class Needs:
    """What a fill job asks its machine for: GPUs, CPU cores, megabytes of main memory."""

    gpus: int
    cpus: int
    memory_mb: int

    @classmethod
    def with_gpus(cls, gpus: int) -> Needs:
        """The needs of an engine on so many GPUs of one node."""
        # An engine feeds each GPU from several processes; with fewer cores the GPU waits for them.
        return cls(gpus, cpus=max(4, 2 * gpus), memory_mb=24000 + 12000 * gpus)


@dataclass(frozen=True)
class EngineHere:
    """What a backend would run on in this job.

    ``description`` is one line for the log: engine, version, device, driver, memory. ``problem``
    says why it cannot run, with the fix; None if it can.
    """

    device: DeviceKind
    description: str
    problem: str | None = None


class Backend(Protocol):
    """A way to generate, chosen by name. Nothing but ``open`` may import the engine's libraries:
    the rule files ask for ``needs``, and the environment must be set first.
    """

    @property
    def name(self) -> BackendName:
        """The name in the configuration and in every trace."""
        ...

    @property
    def loads_weights(self) -> bool:
        """Whether the job itself loads the model, so that its weights must be here."""
        ...

    def needs(self, runtime: RuntimeSettings) -> Needs:
        """What one engine asks each of its machines for."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Environment variables that must be set before the engine's libraries are imported; those
        that the user has set win.
        """
        ...

    def option_problems(self, engine: EngineSettings, runtime: RuntimeSettings) -> list[str]:
        """Say which settings this backend would not take, each with its fix; asks nothing of the
        machine, for it is called while a run is planned.
        """
        ...

    def look(self, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        """Say what the engine would run on here, or why it cannot; answers within seconds.

        Args:
            runtime: The run-time settings.
            held: What shows that the job holds a GPU (``held_gpus``), None where nothing does.
        """
        ...

    def open(self, options: EngineOptions) -> Engine:
        """Load the model."""
        ...


@runtime_checkable
class BackendOverNodes(Protocol):
    """What a backend has besides where its engine can stretch over several nodes."""

    def follow(self, model: Path, arguments: Mapping[str, Any], place: EnginePlace) -> None:
        """Do a further node's part of an engine, until it ends.

        Args:
            model: The model's folder on this node.
            arguments: What the engine gave to ``EngineNodes.begin``.
            place: This node's place.
        """
        ...
