"""What the runner asks of an engine: completions of token-id prompts, as they finish, from a queue
that may still grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cbdata.fill.requests import Request


class EngineDied(RuntimeError):
    """The engine is gone; what finished before is kept in the progress store."""


@dataclass(frozen=True)
class Completion:
    """What the engine wrote for one request.

    ``token_ids`` holds every generated token, a final end-of-turn token included. ``finish_reason``
    is ``stop`` (an end-of-turn token) or ``length`` (``max_tokens`` reached).
    """

    request: Request
    token_ids: tuple[int, ...]
    finish_reason: str


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


class Backend(Protocol):
    """An engine with its model loaded."""

    name: str
    version: str

    def generate(self, queue: RequestQueue) -> Generator[list[Completion | Refusal], None, None]:
        """Yield what finished, in lists as it finishes, until queue and engine are empty.

        The caller may put more requests into the queue between two lists. Closing the iterator
        aborts what is in flight. Raises EngineDied.
        """
        ...

    def close(self) -> None:
        """Free the engine; never raises for noise at exit."""
        ...
