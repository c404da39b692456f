"""The loop of a fill job: what is done already, what to ask the engine, what to keep, when to
stop.
"""

from __future__ import annotations

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from cbdata.fill.backends.base import Engine, EngineDied, Generated, Refusal, RequestQueue
from cbdata.fill.progress_store import ProgressStore, Stored
from cbdata.fill.requests import Request, RequestKey, WorkItem, by_shared_prefix
from cbdata.progress import ON_CONSOLE, time_left

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""SIGTERM ends a job (scancel, pre-emption, the time limit); SIGUSR1 is the warning that SLURM can
send before it.
"""


class Stopped(RuntimeError):
    """The job was told to stop; what finished is kept."""


class StopFlag:
    """Notes the stop signals while it is open.

    During the engine's start nothing has to be kept, so with ``at_once`` a signal raises Stopped on
    the spot; while completions come in it only sets ``requested``, and the loop stops between two
    of the engine's steps.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self.at_once = True
        self._before: dict[int, Any] = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        if self.at_once:
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
    """Work of this run alone, without what earlier runs left."""

    generated: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    load_seconds: float = 0.0


class Runner(Generic[VerdictT]):
    """Brings every item to an accepted completion or to its last attempt.

    Use as a context manager, whose end shuts the engine down: results belong on the disk before,
    so that an engine's noise at exit cannot cost them.
    """

    def __init__(
        self,
        items: Sequence[WorkItem],
        *,
        store: ProgressStore,
        judge: Callable[[WorkItem, Stored], VerdictT],
        attempts: int,
        open_engine: Callable[[], Engine],
        decode: Callable[[Sequence[int]], str],
        stop: StopFlag,
    ) -> None:
        """Take the work on; nothing is loaded yet.

        Args:
            items: What is to be completed, each trace id and mode once.
            store: Where finished completions are found and kept.
            judge: What a completion of an item is.
            attempts: Completions an item gets at most.
            open_engine: Loads the model; called only if something is left to generate.
            decode: Token ids to text, special tokens included.
            stop: Says whether the job was told to stop.
        """
        self._work: dict[tuple[str, str], Attempted[VerdictT]] = {
            (item.trace_id, item.mode): Attempted(item) for item in items
        }
        self._store, self._judge, self._attempts = store, judge, attempts
        self._open_engine, self._decode, self._stop = open_engine, decode, stop
        self._engine: Engine | None = None
        self.throughput = Throughput()

    def run(self) -> list[Attempted[VerdictT]]:
        """Generate what is missing and return the items in their order. Raises Stopped or
        EngineDied; what finished is kept then.
        """
        pending = self._resume(self._store.load(item.item.trace_id for item in self._work.values()))
        logger.info(
            "%d skeleton completions wanted; %d stored completions taken over, %d requests to"
            " send now",
            len(self._work),
            self.throughput.reused,
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

    def _resume(self, stored: dict[RequestKey, Stored]) -> list[Request]:
        pending = []
        for attempted in self._work.values():
            for attempt in range(1, self._attempts + 1):
                request = attempted.item.request(attempt)
                found = stored.get(request.key)
                if found is None:
                    pending.append(request)
                    break
                self.throughput.reused += 1
                attempted.tries.append((found, self._judge(attempted.item, found)))
                if attempted.accepted:
                    break
        return by_shared_prefix(pending)

    def _generate(self, pending: list[Request]) -> None:
        began = time.monotonic()
        engine = self._engine = self._open_engine()
        self.throughput.load_seconds = time.monotonic() - began
        queue = RequestQueue(pending)
        self._stop.at_once = False
        if self._stop.requested:
            raise Stopped(f"{self._stop.requested} received before generation began")
        report = _Report(self._work.values())
        began = time.monotonic()
        results = engine.generate(queue)
        try:
            for finished in results:
                queue.put_first(self._take(engine, finished))
                self.throughput.seconds = time.monotonic() - began
                report.log(self.throughput, len(queue))
                if self._stop.requested:
                    raise Stopped(f"{self._stop.requested} received; {self._kept()}")
        except EngineDied as error:
            # A scheduler signals every process of a job: then the engine's death is the stop
            # itself.
            if self._stop.requested:
                raise Stopped(
                    f"{self._stop.requested} received, and the engine ended first; {self._kept()}"
                ) from error
            raise type(error)(f"{error}. {self._kept()}") from error
        finally:
            self._store.sync()
            results.close()
        report.log(self.throughput, 0, last=True)

    def _kept(self) -> str:
        return (
            f"{self.throughput.generated} completions of this run are kept; run the job again to"
            " go on"
        )

    def _take(self, engine: Engine, finished: Iterable[Generated | Refusal]) -> list[Request]:
        """Keep and judge what finished; return the next attempts that it makes necessary."""
        entries: list[tuple[Attempted[VerdictT], Stored]] = []
        for result in finished:
            attempted = self._work[(result.request.trace_id, result.request.mode)]
            if isinstance(result, Refusal):
                attempted.refusal = result.detail
                continue
            entries.append(
                (
                    attempted,
                    Stored(
                        result.request.key,
                        result.token_ids,
                        result.finish_reason,
                        self._decode(result.token_ids),
                        engine.name,
                        engine.version,
                    ),
                )
            )
        self._store.append(entry for _, entry in entries)
        further = []
        for attempted, entry in entries:
            self.throughput.generated += 1
            self.throughput.prompt_tokens += len(attempted.item.prompt_ids)
            self.throughput.completion_tokens += len(entry.token_ids)
            attempted.tries.append((entry, self._judge(attempted.item, entry)))
            if not attempted.accepted and len(attempted.tries) < self._attempts:
                further.append(attempted.item.request(len(attempted.tries) + 1))
        return further


class _Report:
    """Log lines while completions come in: done and left, tokens per second, acceptance so far, and
    the time left if the rest goes as fast.
    """

    def __init__(self, work: Iterable[Attempted[Any]], every_s: float = 10.0) -> None:
        self._work, self._every_s = list(work), every_s
        self._start = self._last = time.monotonic()
        self._settled_before = self._settled()

    def _settled(self) -> int:
        """Items that need no further try, or have had one."""
        return sum(
            each.accepted or each.refusal is not None or bool(each.tries) for each in self._work
        )

    def log(self, throughput: Throughput, waiting: int, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self._last < self._every_s:
            return
        self._last = now
        total: Counter[str] = Counter()
        accepted: Counter[str] = Counter()
        for attempted in self._work:
            total[attempted.item.mode] += 1
            accepted[attempted.item.mode] += attempted.accepted
        settled, all_items = self._settled(), len(self._work)
        to_do = all_items - self._settled_before
        share = (settled - self._settled_before) / to_do if to_do else 1.0
        left = "" if last else time_left(share, now - self._start)
        seconds = max(throughput.seconds, 1e-9)
        rate = throughput.generated / seconds
        acceptance = ", ".join(
            f"{mode} {accepted[mode]} of {total[mode]}" for mode in sorted(total)
        )
        logger.info(
            "%d of %d items have a completion (%.0f%%%s), %d requests not yet sent;"
            " %.1f completions/s, %.0f completion tokens/s; accepted: %s",
            settled,
            all_items,
            100 * settled / max(all_items, 1),
            left and f", {left}",
            waiting,
            rate,
            throughput.completion_tokens / seconds,
            acceptance,
            extra=ON_CONSOLE,
        )
