"""The loop of a fill job: what is done already, what to ask the engine, what to keep, when to
stop.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from cbdata.fill.backends.base import Engine, EngineDied, Generated, Refusal, RequestQueue
from cbdata.fill.progress_store import ProgressStore, Stored
from cbdata.fill.requests import Request, WorkItem, by_shared_prefix
from cbdata.fill.runner_report import Report
from cbdata.progress import ON_CONSOLE

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""SIGTERM ends a job (scancel, pre-emption, the time limit); SIGUSR1 is the warning that SLURM can
send before it. SIGUSR2 is how a job over several nodes passes SIGTERM on through srun, which kills
its processes at SIGTERM.
"""


class Stopped(RuntimeError):
    """The job was told to stop; what finished is kept.

    ``comes_back``: SIGUSR1 warned it of an end that is still to come, after it had generated
    something; so it may go back into the queue, and none can do that for ever.
    """

    def __init__(self, message: str, *, comes_back: bool = False) -> None:
        super().__init__(message)
        self.comes_back = comes_back


class StopFlag:
    """Notes the stop signals while it is open.

    During the engine's start nothing has to be kept, so with ``at_once`` a signal raises Stopped on
    the spot; while completions come in it only sets ``requested``, and the loop stops between two
    of the engine's steps. A second signal does nothing more: a scheduler and whoever started the
    process may both send one.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self.at_once = True
        self._before: dict[int, Any] = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        first = self.requested is None
        # Who is told to end does not come back because a warning follows.
        if first or number != signal.SIGUSR1:
            self.requested = signal.Signals(number).name
        if first and self.at_once:
            raise Stopped(f"{self.requested} received before generation began")

    def __enter__(self) -> StopFlag:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


class Verdict(Protocol):
    """What the judge says of a completion; the rest of it is the judge's and the writer's
    business.
    """

    @property
    def accepted(self) -> bool:
        """Whether the item needs no further attempt."""
        ...


VerdictT = TypeVar("VerdictT", bound=Verdict)


@dataclass
class Attempted(Generic[VerdictT]):
    """An item with the completions it got, attempt 1 first, each with its verdict; ``refusal`` if
    the engine would not take it.
    """

    item: WorkItem
    tries: list[tuple[Stored, VerdictT]] = field(default_factory=list)
    refusal: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the last completion was accepted."""
        return bool(self.tries) and self.tries[-1][1].accepted


@dataclass
class Throughput:
    """Work of this run alone for one skeleton set, without what earlier runs left.

    The sets of a job share its engine: ``load_seconds`` is the whole start of it, ``seconds`` the
    set's part of the time that it generated. ``cached_prompt_tokens`` are those that came from its
    prefix cache, None where it has none.
    """

    generated: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    load_seconds: float = 0.0
    cached_prompt_tokens: int | None = None

    def note(self, result: Generated) -> None:
        """Count a completion."""
        self.generated += 1
        self.prompt_tokens += len(result.request.prompt_ids)
        self.completion_tokens += len(result.token_ids)
        if result.cached_tokens is not None:
            self.cached_prompt_tokens = (self.cached_prompt_tokens or 0) + result.cached_tokens


class Runner(Generic[VerdictT]):
    """Brings every item to an accepted completion or to its last attempt.

    Use as a context manager, whose end shuts the engine down: results belong on the disk before,
    so that an engine's noise at exit cannot cost them.
    """

    def __init__(
        self,
        items: Sequence[WorkItem],
        *,
        stores: Sequence[ProgressStore],
        judge: Callable[[WorkItem, Stored], VerdictT],
        attempts: int,
        open_engine: Callable[[], Engine],
        decode: Callable[[Sequence[int]], str],
        stop: StopFlag,
    ) -> None:
        """Take the work on; nothing is loaded yet.

        Args:
            items: What is to be completed, each trace id and mode of a set once.
            stores: Where finished completions are found and kept, for each set.
            judge: What a completion of an item is.
            attempts: Completions an item gets at most.
            open_engine: Loads the model; called only if something is left to generate.
            decode: Token ids to text, special tokens included.
            stop: Says whether the job was told to stop.
        """
        self._work: dict[tuple[int, str, str], Attempted[VerdictT]] = {
            (item.set_index, item.trace_id, item.mode): Attempted(item) for item in items
        }
        self._stores, self._judge, self._attempts = stores, judge, attempts
        self._open_engine, self._decode, self._stop = open_engine, decode, stop
        self._engine: Engine | None = None
        self.throughput = tuple(Throughput() for _ in stores)

    def run(self) -> list[Attempted[VerdictT]]:
        """Generate what is missing and return the items in their order. Raises Stopped or
        EngineDied; what finished is kept then.
        """
        pending = self._resume()
        logger.info(
            "%d skeleton completions wanted; %d stored completions taken over, %d requests to"
            " send now",
            len(self._work),
            sum(part.reused for part in self.throughput),
            len(pending),
        )
        if pending:
            self._generate(pending)
        return list(self._work.values())

    def __enter__(self) -> Runner[VerdictT]:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _resume(self) -> list[Request]:
        ids: list[list[str]] = [[] for _ in self._stores]
        for attempted in self._work.values():
            ids[attempted.item.set_index].append(attempted.item.trace_id)
        stored = [store.load(own) for store, own in zip(self._stores, ids, strict=True)]
        pending = []
        for attempted in self._work.values():
            index = attempted.item.set_index
            for attempt in range(1, self._attempts + 1):
                request = attempted.item.request(attempt)
                found = stored[index].get(request.key)
                if found is None:
                    pending.append(request)
                    break
                self.throughput[index].reused += 1
                attempted.tries.append((found, self._judge(attempted.item, found)))
                if attempted.accepted:
                    break
        return by_shared_prefix(pending)

    def _generate(self, pending: list[Request]) -> None:
        began = time.monotonic()
        logger.info(
            "fill: %d completions to generate; the engine starts, which can take minutes",
            len(pending),
            extra=ON_CONSOLE,
        )
        engine = self._engine = self._open_engine()
        load_seconds = time.monotonic() - began
        for part in self.throughput:
            part.load_seconds = load_seconds
        queue = RequestQueue(pending)
        self._stop.at_once = False
        if self._stop.requested:
            raise Stopped(f"{self._stop.requested} received before generation began")
        report = Report(self._work.values(), self.throughput, engine.name)
        before = time.monotonic()
        results = engine.generate(queue)
        try:
            for finished in results:
                queue.put_first(self._take(engine, finished))
                if finished:  # a server's steps may bring nothing
                    now = time.monotonic()
                    self._share(finished, now - before)
                    before = now
                report.log(len(queue))
                if self._stop.requested:
                    raise self._stopped(f"received; {self._kept()}")
        except EngineDied as error:
            # A scheduler signals every process of a job: then the engine's death is the stop
            # itself.
            if self._stop.requested:
                raise self._stopped(
                    f"received, and the engine ended first; {self._kept()}"
                ) from error
            raise type(error)(f"{error}. {self._kept()}") from error
        finally:
            for store in self._stores:
                store.sync()
            results.close()
        report.log(0, last=True)

    @property
    def _generated(self) -> int:
        return sum(part.generated for part in self.throughput)

    def _kept(self) -> str:
        return f"{self._generated} completions of this run are kept; run the job again to go on"

    def _stopped(self, words: str) -> Stopped:
        requested = self._stop.requested
        warned = requested == signal.SIGUSR1.name
        return Stopped(f"{requested} {words}", comes_back=warned and self._generated > 0)

    def _share(self, finished: Sequence[Generated | Refusal], seconds: float) -> None:
        """Divide the time of a step among the sets whose completions it ended, by their tokens."""
        tokens = [0] * len(self.throughput)
        for result in finished:
            written = len(result.token_ids) if isinstance(result, Generated) else 0
            tokens[result.request.set_index] += written + 1
        for part, own in zip(self.throughput, tokens, strict=True):
            part.seconds += seconds * own / max(sum(tokens), 1)

    def _take(self, engine: Engine, finished: Iterable[Generated | Refusal]) -> list[Request]:
        """Keep and judge what finished; return the next attempts that it makes necessary."""
        entries: list[tuple[Attempted[VerdictT], Stored]] = []
        for result in finished:
            request = result.request
            attempted = self._work[(request.set_index, request.trace_id, request.mode)]
            if isinstance(result, Refusal):
                attempted.refusal = result.detail
                continue
            self.throughput[request.set_index].note(result)
            entries.append(
                (
                    attempted,
                    Stored(
                        request.key,
                        result.token_ids,
                        result.finish_reason,
                        self._decode(result.token_ids),
                        engine.name,
                        engine.version,
                    ),
                )
            )
        for index, store in enumerate(self._stores):
            store.append(entry for owner, entry in entries if owner.item.set_index == index)
        further = []
        for attempted, entry in entries:
            attempted.tries.append((entry, self._judge(attempted.item, entry)))
            if not attempted.accepted and len(attempted.tries) < self._attempts:
                further.append(attempted.item.request(len(attempted.tries) + 1))
        return further
