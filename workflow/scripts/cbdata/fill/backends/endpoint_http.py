"""HTTP to a server of completions: addresses, the key, and one JSON object asked for and answered
in time. Redirects are not followed, so the key reaches the configured hosts alone.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from cbdata.addresses import without_secrets
from cbdata.fill.backends.base import EngineDied

if TYPE_CHECKING:
    import ssl

    import httpx

KEY_VARIABLE = "CB_ENDPOINT_KEY"
"""Environment variable with the servers' key. It is in no file, log or hash."""

BUSY_STATUS = frozenset({409, 425, 429, 503})
"""HTTP statuses that say nothing of the request: later, the same one may be answered."""

FAILED_STATUS = frozenset({408, 502, 504})
"""The same, but a request of which this is said again and again may itself be the cause: a proxy
says so of one that takes longer than it waits, or at which the server ends.
"""

REFUSED_STATUS = frozenset({400, 413, 422})

LOOK_TIMEOUT_S = 20.0
"""How long a question that needs no generation may take."""

LONGEST_ANSWER = 1 << 26
"""Bytes of an answer that are read at most: 64 MiB."""

DETAIL = 300
"""Characters of a server's words that are shown."""


class NotNow(RuntimeError):
    """The server gave no whole answer. ``counts`` where it failed at this very request, which may
    therefore be the cause; ``wait`` is how many seconds the server asked for, if it did; ``lost``
    where the connection was, so that another server may be behind it afterwards.
    """

    def __init__(
        self, detail: str, counts: bool = False, wait: float | None = None, lost: bool = False
    ) -> None:
        super().__init__(detail)
        self.counts, self.wait, self.lost = counts, wait, lost


class Refused(RuntimeError):
    """The server will never take this request."""


def base_url(url: str) -> str:
    """A server's address up to and with ``/v1``, whether or not it was given so."""
    stripped = url.rstrip("/")
    return stripped if stripped.endswith("/v1") else f"{stripped}/v1"


def url_problem(url: str) -> str | None:
    """Why an address cannot be used; None if it can. A name or key in it would get into logs."""
    expected = "expected http://host:port or https://host"
    if not all(character.isprintable() and character != " " for character in url):
        return f"{expected}, without blanks"
    if any(mark in url for mark in "@?#"):
        return f"expected no user, key or query in it; a key belongs in {KEY_VARIABLE}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return expected
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        return expected
    if parts.path.rstrip("/").endswith("/completions"):
        return "expected the address up to /v1, without the place of completions"
    return None


def server_key(environ: Mapping[str, str] = os.environ) -> str:
    """The servers' key, empty where there is none. Blanks and line breaks around it are left out: a
    file that it was read from ends with one.

    Raises:
        EngineDied: No header can hold it.
    """
    key = environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise EngineDied(
            f"{KEY_VARIABLE} holds a blank, a line break or a letter that is not ASCII, which no"
            " key has. Fix: set it to the key alone"
        )
    return key


def printable(value: object, longest: int = DETAIL) -> str:
    """A server's words for logs and records: on one line, without control characters, cut.

    Args:
        value: What it said.
        longest: Characters that stay.
    """
    text = " ".join(str(value).split())
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return shown[:longest]


class JsonClient:
    """Asks one server for JSON objects. Usable from several threads at once.

    Args:
        url: The server's address up to and with ``/v1``.
        timeout: Seconds that a question may take which has a body: a completion.
        connections: Completions in flight at most.
        environ: Where the key is looked up.

    Raises:
        EngineDied: No header can hold the key.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        connections: int,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        # Imported here and below: a plan of jobs looks at every backend, and few use a server.
        import httpx

        self.url, self._timeout = url, timeout
        self._key = server_key(environ)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(timeout, connect=LOOK_TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=connections + 1),
            follow_redirects=False,
            verify=_certificates(),
        )

    def ask(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        """A JSON object from the server.

        Args:
            method: GET or POST.
            url: Where.
            body: What is sent as JSON.

        Raises:
            NotNow: No whole answer came.
            Refused: The server will not take this request.
            EngineDied: The server takes no request of ours.
        """
        import httpx

        timeout = self._timeout if body is not None else LOOK_TIMEOUT_S
        limits = httpx.USE_CLIENT_DEFAULT if body is not None else httpx.Timeout(LOOK_TIMEOUT_S)
        try:
            with self._client.stream(method, url, json=body, timeout=limits) as response:
                data = self._read(response, timeout)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise EngineDied(self._said(f"{type(error).__name__}: {error}")) from error
        except httpx.HTTPError as error:
            unheard = isinstance(
                error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError
            )
            slow = isinstance(error, httpx.ReadTimeout)
            detail = self._said(f"{type(error).__name__}: {error}")
            raise NotNow(detail, counts=not unheard, lost=not slow) from error
        if response.status_code != 200:
            self._raise_for(response, data)
        try:
            answer = orjson.loads(data)
        except ValueError as error:
            raise NotNow(self._said(f"half an answer ({error})"), counts=True) from error
        if not isinstance(answer, dict):
            raise NotNow(self._said("an answer that is no object"), counts=True)
        return answer

    def _read(self, response: httpx.Response, timeout: float) -> bytes:
        """The whole body: httpx itself lets a server take ``timeout`` for every piece of it."""
        end, data = time.monotonic() + timeout, bytearray()
        for piece in response.iter_bytes():
            data += piece
            if len(data) > LONGEST_ANSWER:
                raise NotNow(self._said(f"an answer of more than {LONGEST_ANSWER} bytes"), True)
            if time.monotonic() > end:
                raise NotNow(self._said(f"no whole answer within {timeout:g} s"), counts=True)
        return bytes(data)

    def _raise_for(self, response: httpx.Response, data: bytes) -> None:
        """Raise what a status other than 200 means."""
        status = response.status_code
        said = self._said(data.decode("utf-8", "replace"), f"answers {status}")
        if status in BUSY_STATUS:
            raise NotNow(said, wait=_seconds(response.headers.get("retry-after")))
        if status < 300 or status >= 500 or status in FAILED_STATUS:
            wait = _seconds(response.headers.get("retry-after"))
            raise NotNow(said, counts=True, wait=wait, lost=status == 502)
        if status in REFUSED_STATUS:
            raise Refused(said)
        if status < 400:
            place = without_secrets(response.headers.get("location", "nowhere"))
            said = self._said(
                f"{printable(place)}. Fix: give the address that answers itself",
                f"answers {status} and sends on to",
            )
        hint = f". Fix: put the key into {KEY_VARIABLE}" if status in {401, 403} else ""
        raise EngineDied(said + hint)

    def _said(self, words: str, what: str = "") -> str:
        """A server's words behind its address; the key, should they repeat it, is left out."""
        hidden = words.replace(self._key, "***") if self._key else words
        return f"{self.url}{f' {what}' if what else ''}: {printable(hidden)}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Which certificates are trusted; read once, for it takes longer than all else here."""
    import httpx

    return httpx.create_ssl_context()


def _seconds(header: str | None) -> float | None:
    """The seconds of a Retry-After header; None where it has none or a date."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
