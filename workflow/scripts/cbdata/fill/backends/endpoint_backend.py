"""Completions from servers that already run: token ids in, token ids out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count

from cbdata.addresses import without_secrets
from cbdata.fill.backends.base import (
    EngineAway,
    EngineDied,
    EngineHere,
    EngineOptions,
    Generated,
    Needs,
    Refusal,
    RequestQueue,
)
from cbdata.fill.backends.endpoint_http import (
    NotNow,
    Refused,
    base_url,
    url_problem,
)
from cbdata.fill.backends.endpoint_server import ServedModel, Server
from cbdata.fill.models import vocabulary_size
from cbdata.fill.requests import Request
from cbdata.fill.settings import EngineSettings, RuntimeSettings
from cbdata.records import BackendName

logger = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Seconds before a request is sent again: doubled each time, up to the second value."""

TRIES_OF_ONE = 8
"""How often one request may fail at a server that answers others, before it counts as refused."""

TRIES_WITH_PROOF = 3
"""So many of these, the last ones, count only where the server completes something in between:
requests fail alike where it hangs, or where a proxy has one of two servers that is away.
"""

BUSY_PATIENCE = 4
"""Servers that answer questions and are too busy for completions may be silent so many times
``endpoint_patience``: others may use them.
"""

WAIT_STEP_S = 1.0
"""How soon a stop signal is noticed while no completion comes in."""


class EndpointBackend:
    """``backend: endpoint``: the servers of ``endpoint_urls``."""

    name: BackendName = "endpoint"
    loads_weights = False

    def needs(self, runtime: RuntimeSettings) -> Needs:
        """See Backend.needs: what it takes to render prompts and judge answers."""
        return Needs(gpus=0, cpus=2, memory_mb=6000)

    def environment(self) -> Mapping[str, str]:
        """See Backend.environment."""
        return {}

    def option_problems(self, engine: EngineSettings, runtime: RuntimeSettings) -> list[str]:
        """See Backend.option_problems."""
        problems = [
            f"endpoint_urls: {without_secrets(url)!r}: {problem}"
            for url in runtime.endpoint_urls
            if (problem := url_problem(url)) is not None
        ]
        if not runtime.endpoint_urls:
            problems.append(
                "endpoint_urls: backend=endpoint needs at least one. Fix:"
                " endpoint_urls='[http://host:8000]'"
            )
        if given := sorted(engine.given):
            problems.append(
                f"{', '.join(given)}: with backend=endpoint the server decides that. Fix: leave it"
                " out, and start the server with it"
            )
        return problems

    def look(self, runtime: RuntimeSettings, held: str | None) -> EngineHere:
        """See Backend.look. The servers are asked when the engine is opened."""
        # Weights are loaded elsewhere, in the type that the server chose.
        places = ", ".join(without_secrets(base_url(url)) for url in runtime.endpoint_urls)
        return EngineHere("cuda", f"servers at {places}")

    def open(self, options: EngineOptions) -> EndpointEngine:
        """See Backend.open."""
        return EndpointEngine(options)


class EndpointEngine:
    """Servers that were asked what they serve."""

    name: BackendName = "endpoint"

    def __init__(self, options: EngineOptions) -> None:
        # It writes a line with the address for every request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        runtime = options.runtime
        self._stops = options.stop_token_ids
        self._model = options.served_name
        self._patience = runtime.endpoint_patience
        self._context = options.max_model_len
        vocabulary = vocabulary_size(options.model)
        self._servers = [
            Server(
                url,
                runtime.endpoint_timeout,
                runtime.endpoint_concurrency,
                vocabulary=vocabulary,
            )
            for url in runtime.endpoint_urls
        ]
        self._slots = runtime.endpoint_concurrency * len(self._servers)
        self._closing = threading.Event()
        self._heard = self._seen = time.monotonic()
        self._told_away = self._told_short = False
        self._described: set[str] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(self._slots, thread_name_prefix="endpoint")
        self._look()
        logger.info("the servers generate with: %s", self.version)

    @property
    def version(self) -> str:
        """See Engine.version: of all servers that have answered so far."""
        return "; ".join(sorted(self._described))

    def _look(self) -> None:
        """Wait until one server answers, and check what those that answer serve. The others rest,
        and are looked at before they are sent requests.
        """
        for attempt in count():
            missing = None
            for server in self._servers:
                try:
                    self._look_at(server)
                except NotNow as error:
                    missing = error
                    self._rest(server, error)
            if self._described:
                self._hear()
                return
            self._not_heard(missing)
            self._closing.wait(_pause(attempt, missing.wait if missing else None))

    def _look_at(self, server: Server) -> None:
        """See what a server serves before its first request, and again where the connection to it
        was lost: it may have been started anew with something else.

        Raises:
            NotNow: It does not answer.
            EngineDied: It cannot do the requests of this job, or has another model than before.
        """
        with server.looking:
            if not server.to_be_looked_at:
                return
            asked, answer = server.in_vain
            if time.monotonic() - asked < FIRST_WAIT_S:
                # Another request has just asked, which may have taken long.
                raise NotNow(answer, lost=True)
            try:
                served = server.describe(self._model)
                self._check(server, served)
                server.probe(self._model)
            except NotNow as error:
                server.in_vain = time.monotonic(), str(error)
                # It says nothing of the request that is to be sent.
                raise NotNow(str(error), wait=error.wait, lost=True) from error
            server.served, server.to_be_looked_at = served, False
        with self._lock:
            self._described = self._described | {str(served)}

    def _check(self, server: Server, served: ServedModel) -> None:
        if served.context is not None and served.context < self._context:
            raise EngineDied(
                f"{server.url} takes {served.context} tokens, and the longest request of this job"
                f" needs {self._context}. Fix: set max_model_len={served.context}"
            )
        if server.served is not None and served.origin != server.served.origin:
            raise EngineDied(
                f"{server.url} was started anew with another model: {served.origin}, before it was"
                f" {server.served.origin}. Fix: start it with the model that the run began with"
            )
        for other in self._servers:
            if other.served is not None and served.origin != other.served.origin:
                logger.warning(
                    "%s serves %s and %s serves %s: is it the same model?",
                    *(server.url, served.origin or "a model without origin"),
                    *(other.url, other.served.origin or "a model without origin"),
                )

    # ---- completions

    def generate(self, queue: RequestQueue) -> Generator[list[Generated | Refusal], None, None]:
        """See Engine.generate. An empty list lets the caller see a stop signal."""
        flying: set[Future[Generated | Refusal]] = set()
        try:
            while queue or flying:
                for request in queue.take(self._slots - len(flying)):
                    flying.add(self._pool.submit(self._complete, request))
                done, flying = wait(flying, timeout=WAIT_STEP_S, return_when=FIRST_COMPLETED)
                failed = [future for future in done if future.exception() is not None]
                yield [future.result() for future in done if future not in failed]
                for future in failed:
                    future.result()
        finally:
            self._closing.set()

    def _complete(self, request: Request) -> Generated | Refusal:
        """Send a request until it is answered or refused."""
        failures = 0
        for attempt in count():
            server = self._free_server()
            pause = None
            try:
                self._look_at(server)
                ids, finish, cached = server.complete(request, self._model, self._stops)
            except NotNow as error:
                pause = error.wait
                self._rest(server, error)
                failures += error.counts
                if error.counts and failures >= TRIES_OF_ONE - TRIES_WITH_PROOF:
                    if not server.generates(request, self._model):
                        failures = 0  # the server is at fault, not the request
                    else:
                        self._hear()
                    if failures >= TRIES_OF_ONE:
                        return Refusal(request, f"failed {failures} times, the last time: {error}")
                self._not_heard(error)
            except Refused as error:
                if (generates := server.generates(request, self._model)) is False:
                    raise EngineDied(
                        f"{server.url} takes no request of this job: {error}"
                    ) from error
                if generates:
                    self._hear()
                    return Refusal(request, str(error))
                self._not_heard(NotNow(str(error)))
            else:
                self._hear()
                if finish == "length" and len(ids) < request.max_tokens:
                    self._tell_of_a_limit(server, len(ids), request.max_tokens)
                return Generated(request, ids, finish, cached)
            finally:
                with self._lock:
                    server.in_flight -= 1
            self._closing.wait(_pause(attempt, pause))
            if self._closing.is_set():
                break
        raise EngineDied("the job ends")

    def _free_server(self) -> Server:
        """The server with the fewest requests in flight of those that are not resting."""
        with self._lock:
            now = time.monotonic()
            awake = [server for server in self._servers if server.resting_until <= now]
            server = min(awake or self._servers, key=lambda one: one.in_flight)
            server.in_flight += 1
            return server

    def _rest(self, server: Server, error: NotNow) -> None:
        """Let others have the next requests, where there are others."""
        if error.lost:
            server.to_be_looked_at = True
        pause = min(LONGEST_WAIT_S, error.wait or FIRST_WAIT_S * 4)
        server.resting_until = time.monotonic() + pause

    def _tell_of_a_limit(self, server: Server, written: int, asked: int) -> None:
        """Say once that completions are cut by a limit of the server's own."""
        with self._lock:
            told, self._told_short = self._told_short, True
        if not told:
            logger.warning(
                "%s ended a completion after %d of %d tokens: it has a limit of its own, such as"
                " max_new_tokens in the model's generation_config.json. Such completions count as"
                " truncated",
                server.url,
                written,
                asked,
            )

    def _hear(self) -> None:
        with self._lock:
            self._heard = time.monotonic()
            if self._told_away:
                self._told_away = False
                logger.info("the servers answer again")

    def _not_heard(self, error: NotNow | None) -> None:
        """Raise EngineAway once no server has completed anything for ``endpoint_patience``; where
        one is only busy, for BUSY_PATIENCE times that.
        """
        detail = str(error)
        with self._lock:
            now = time.monotonic()
            idle, silence = now - self._heard, now - max(self._heard, self._seen)
            if not self._told_away:
                self._told_away = True
                logger.warning("no answer, trying again for up to %g s: %s", self._patience, detail)
        if silence >= self._patience:
            # One that answers questions and fails at completions is no use.
            waits = not (error and error.counts) and idle < BUSY_PATIENCE * self._patience
            if waits and any(server.alive() for server in self._servers):
                with self._lock:
                    self._seen = time.monotonic()
                return
            raise EngineAway(f"no server answered for {idle:.0f} s; the last one: {detail}")

    def close(self) -> None:
        """See Engine.close. What is in flight is given up."""
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for server in self._servers:
            server.close()


def _pause(attempt: int, asked: float | None) -> float:
    """Seconds to wait after a failed attempt, counted from 0."""
    grown = FIRST_WAIT_S * 2.0 ** min(attempt, 10)
    return min(LONGEST_WAIT_S, max(grown, asked or 0.0))
