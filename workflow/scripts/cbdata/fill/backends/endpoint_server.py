"""One OpenAI-compatible server: what it says of itself, one completion, and when it was last heard
of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from cbdata.fill.backends.base import EngineDied
from cbdata.fill.requests import Request

KEY_VARIABLE = "CB_ENDPOINT_KEY"
"""Environment variable with the servers' key. It is in no file, log or hash."""

PASSING_STATUS = frozenset({408, 409, 425, 429, 502, 503, 504})
"""HTTP statuses that say nothing of the request: later, the same one may be answered."""

FINISH_REASONS = frozenset({"stop", "length"})

LOOK_TIMEOUT_S = 20.0
"""How long a question that needs no generation may take."""


class NotNow(RuntimeError):
    """The server gave no whole answer. ``counts`` where it failed at this very request, which may
    therefore be the cause; ``wait`` is how many seconds the server asked for, if it did.
    """

    def __init__(self, detail: str, counts: bool = False, wait: float | None = None) -> None:
        super().__init__(detail)
        self.counts, self.wait = counts, wait


class Refused(RuntimeError):
    """The server will never take this request."""


@dataclass(frozen=True)
class ServedModel:
    """What a server says: the model's name, its longest sequence in tokens, and the software."""

    name: str
    context: int | None
    software: str


def base_url(url: str) -> str:
    """A server's address up to and with ``/v1``, whether or not it was given so."""
    stripped = url.rstrip("/")
    return stripped if stripped.endswith("/v1") else f"{stripped}/v1"


def url_problem(url: str) -> str | None:
    """Why an address cannot be used; None if it can. A name or key in it would get into logs."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "expected http://host:port or https://host"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return f"expected no user, key or query in it; a key belongs in {KEY_VARIABLE}"
    return None


class Server:
    """A server at an address. Usable from several threads at once.

    Args:
        url: Its address, with or without ``/v1``.
        timeout: Seconds that one completion may take.
        connections: Completions in flight at most.
        environ: Where the key is looked up.
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

        self.url = base_url(url)
        self.in_flight = 0
        self.resting_until = 0.0
        key = environ.get(KEY_VARIABLE)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=LOOK_TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=connections + 1),
        )

    def describe(self, wanted: str) -> ServedModel:
        """Ask which models there are, and find the wanted one.

        Args:
            wanted: The model's name at this server.

        Raises:
            NotNow: The server does not answer.
            EngineDied: It answers, and does not serve this model or does not let us in.
        """
        listed = self._ask("GET", f"{self.url}/models").get("data")
        models = {
            str(model.get("id")): model
            for model in (listed if isinstance(listed, list) else [])
            if isinstance(model, dict)
        }
        if wanted not in models:
            raise EngineDied(
                f"{self.url} serves {', '.join(sorted(models)) or 'no model'}, not {wanted}. Fix:"
                " set endpoint_model to the name that the server gives the model"
            )
        context = models[wanted].get("max_model_len")
        return ServedModel(wanted, context if isinstance(context, int) else None, self._software())

    def _software(self) -> str:
        """Name and version, as far as the server says them: vLLM does at ``/version``."""
        try:
            answer = self._ask("GET", f"{self.url.removesuffix('/v1')}/version")
        except (NotNow, EngineDied, Refused):
            return "unknown"
        return f"vllm {answer['version']}" if "version" in answer else "unknown"

    def alive(self) -> bool:
        """Whether it answers a question that needs no generation."""
        try:
            self._ask("GET", f"{self.url}/models")
        except (NotNow, EngineDied, Refused):
            return False
        return True

    def generates(self, request: Request, model: str) -> bool:
        """Whether it completes the first token of a request: then the request itself is at fault
        where it fails.
        """
        short = replace(
            request, prompt_ids=request.prompt_ids[:1], max_tokens=1, grammar=None, seed=0
        )
        try:
            self.complete(short, model, ())
        except (NotNow, EngineDied, Refused):
            return False
        return True

    def complete(
        self, request: Request, model: str, stops: Sequence[int]
    ) -> tuple[tuple[int, ...], str, int | None]:
        """Generate one completion.

        Args:
            request: Prompt ids, seed, sampling and grammar.
            model: The model's name at this server.
            stops: Token ids that end a completion beside the model's own.

        Returns:
            Every generated token id, a final end-of-turn token included; ``stop`` or ``length``;
            and how many tokens of the prompt were in the server's prefix cache, if it says so.

        Raises:
            NotNow: No whole answer came.
            Refused: The server will not take this request.
            EngineDied: The server takes no request of ours, or does not work on token ids.
        """
        prompt = list(request.prompt_ids)
        body: dict[str, Any] = {
            "model": model,
            "prompt": prompt,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop_token_ids": list(stops),
            "add_special_tokens": False,
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        if request.grammar is not None:
            body["structured_outputs"] = {"grammar": request.grammar}
        answer = self._ask("POST", f"{self.url}/completions", body)
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
        if not isinstance(choice, dict):
            raise NotNow("an answer without one choice", counts=True)
        ids, finish = choice.get("token_ids"), choice.get("finish_reason")
        if ids is None and finish in FINISH_REASONS:
            raise EngineDied(
                f"{self.url} returns no token ids (return_token_ids), so what it wrote cannot be"
                " known to the token. Fix: serve the model with a vLLM that has return_token_ids"
            )
        usage = _object(answer.get("usage"))
        counted = usage.get("completion_tokens")
        cached = _object(usage.get("prompt_tokens_details")).get("cached_tokens")
        if (
            finish not in FINISH_REASONS
            or not isinstance(ids, list)
            or not all(type(token) is int for token in ids)
            or counted not in (None, len(ids))
        ):
            raise NotNow(f"half an answer (finish_reason {finish!r})", counts=True)
        if choice.get("prompt_token_ids") not in (None, prompt):
            raise EngineDied(
                f"{self.url} completed another prompt than it was sent: it changes token ids. Fix:"
                " send to the server itself, not to a router that works on text"
            )
        return tuple(ids), str(finish), cached if isinstance(cached, int) else None

    def _ask(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        """A JSON object from the server. Raises as ``complete`` does."""
        import httpx

        look = httpx.USE_CLIENT_DEFAULT if body is not None else httpx.Timeout(LOOK_TIMEOUT_S)
        try:
            response = self._client.request(method, url, json=body, timeout=look)
        except httpx.HTTPError as error:
            detail = f"{self.url}: {type(error).__name__}: {error}"
            raise NotNow(detail, counts=isinstance(error, httpx.ReadTimeout)) from error
        status = response.status_code
        said = f"{self.url} answers {status}: {response.text[:300].strip()}"
        if status in PASSING_STATUS:
            raise NotNow(said, wait=_seconds(response.headers.get("retry-after")))
        if status >= 500:
            raise NotNow(said, counts=True)
        if status in {400, 413, 422}:
            raise Refused(said)
        if status != 200:
            hint = f" Fix: put the key into {KEY_VARIABLE}" if status in {401, 403} else ""
            raise EngineDied(f"{said}.{hint}")
        try:
            answer = response.json()
        except ValueError as error:
            raise NotNow(f"{self.url}: half an answer ({error})", counts=True) from error
        if not isinstance(answer, dict):
            raise NotNow(f"{self.url}: an answer that is no object", counts=True)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, empty for anything else."""
    return value if isinstance(value, dict) else {}


def _seconds(header: str | None) -> float | None:
    """The seconds of a Retry-After header; None where it has none or a date."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
