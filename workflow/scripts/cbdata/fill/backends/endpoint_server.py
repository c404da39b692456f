"""One OpenAI-compatible server: what it says of itself, one completion, and when it was last heard
of.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from cbdata.fill.backends.base import EngineDied
from cbdata.fill.backends.endpoint_http import (
    KEY_VARIABLE,
    JsonClient,
    NotNow,
    Refused,
    base_url,
    printable,
    url_problem,
)
from cbdata.fill.requests import Request

__all__ = ["KEY_VARIABLE", "NotNow", "Refused", "ServedModel", "Server", "base_url", "url_problem"]

FINISH_REASONS = frozenset({"stop", "length"})

NEUTRAL = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Sampling that changes nothing. What a request leaves out, vLLM's server takes from the model's
generation_config.json (Qwen 2.5: top_k 20, repetition_penalty 1.05), as an engine of ours does not.
"""

PROBE = (83, 71)
"""Token ids with which a server is tried first. In vocabularies of bytes these are t and h, which
are one token where somebody reads them as text.
"""

SHOWN_NAME = 200
"""Characters of a name or version that a server gives which are kept."""


@dataclass(frozen=True)
class ServedModel:
    """What a server says: the model's name, its longest sequence in tokens, the software, and where
    the server has the model from (``root``), empty where it does not say.
    """

    name: str
    context: int | None
    software: str
    root: str = ""

    @property
    def origin(self) -> str:
        """Where the server has the model from, without folders: they may be a job's own."""
        return _without_folders(self.root)

    def __str__(self) -> str:
        """For logs and for every trace, which do not name the folders of another machine."""
        name, origin = _without_folders(self.name), self.origin
        return f"{self.software}{f' ({origin})' if origin not in ('', name) else ''}, {name}"


class Server:
    """A server at an address. Usable from several threads at once.

    Args:
        url: Its address, with or without ``/v1``.
        timeout: Seconds that one completion may take.
        connections: Completions in flight at most.
        environ: Where the key is looked up.
        vocabulary: How many tokens the model has; None where that is not known.

    Raises:
        EngineDied: No header can hold the key.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        connections: int,
        environ: Mapping[str, str] = os.environ,
        vocabulary: int | None = None,
    ) -> None:
        self.url = base_url(url)
        self.in_flight = 0
        self.resting_until = 0.0
        self.served: ServedModel | None = None
        self.to_be_looked_at = True
        self.looking = threading.Lock()
        self.in_vain = -math.inf, ""
        self._vocabulary = vocabulary
        self._client = JsonClient(self.url, timeout, connections, environ)

    def describe(self, wanted: str) -> ServedModel:
        """Ask which models there are, and find the wanted one.

        Args:
            wanted: The model's name at this server.

        Raises:
            NotNow: The server does not answer.
            EngineDied: It answers, and does not serve this model or does not let us in.
        """
        try:
            listed = self._client.ask("GET", f"{self.url}/models").get("data")
        except Refused as error:
            raise EngineDied(str(error)) from error
        models = {
            str(model.get("id")): model
            for model in (listed if isinstance(listed, list) else [])
            if isinstance(model, dict)
        }
        if not models and self.served is not None:
            # A router whose engine is started anew.
            raise NotNow(f"{self.url} serves no model")
        if wanted not in models:
            names = ", ".join(printable(name, SHOWN_NAME) for name in sorted(models)[:20])
            raise EngineDied(
                f"{self.url} serves {names or 'no model'}, not {wanted}. Fix: set endpoint_model to"
                " the name that the server gives the model"
            )
        model = models[wanted]
        context, root = model.get("max_model_len"), model.get("root")
        return ServedModel(
            wanted,
            context if type(context) is int else None,
            self._software(),
            printable(root, SHOWN_NAME) if isinstance(root, str) else "",
        )

    def _software(self) -> str:
        """Name and version, as far as the server says them: vLLM does at ``/version``."""
        try:
            answer = self._client.ask("GET", f"{self.url.removesuffix('/v1')}/version")
        except (NotNow, EngineDied, Refused):
            return "unknown"
        version = printable(answer.get("version", ""), SHOWN_NAME)
        return f"vllm {version}" if version else "unknown"

    def alive(self) -> bool:
        """Whether it answers a question that needs no generation."""
        try:
            self._client.ask("GET", f"{self.url}/models")
        except (NotNow, EngineDied, Refused):
            return False
        return True

    def probe(self, model: str) -> None:
        """See with one token whether it works on token ids, before it is sent any request.

        Args:
            model: The model's name at this server.

        Raises:
            NotNow: No whole answer came.
            EngineDied: It takes no such request, or does not work on token ids.
        """
        body = {
            "model": model,
            "prompt": list(PROBE),
            "max_tokens": 1,
            "temperature": 0.0,
            "add_special_tokens": False,
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        try:
            self._completion(body)
        except Refused as error:
            raise EngineDied(f"{self.url} takes no request of this job: {error}") from error

    def generates(self, request: Request, model: str) -> bool | None:
        """Whether it completes the first token of a request: then the request itself is at fault
        where it fails. None where it gives no answer for the moment.
        """
        short = replace(
            request, prompt_ids=request.prompt_ids[:1], max_tokens=1, grammar=None, seed=0
        )
        try:
            self.complete(short, model, ())
        except NotNow:
            return None
        except (EngineDied, Refused):
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
        body: dict[str, Any] = {
            "model": model,
            "prompt": list(request.prompt_ids),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            **NEUTRAL,
            "seed": request.seed,
            "stop_token_ids": list(stops),
            "add_special_tokens": False,
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        if request.grammar is not None:
            body["structured_outputs"] = {"grammar": request.grammar}
        return self._completion(body)

    def _completion(self, body: Mapping[str, Any]) -> tuple[tuple[int, ...], str, int | None]:
        """What ``complete`` returns and raises, for the body of a request."""
        prompt, longest = body["prompt"], body["max_tokens"]
        answer = self._client.ask("POST", f"{self.url}/completions", body)
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
        if not isinstance(choice, dict):
            raise NotNow("an answer without one choice", counts=True)
        ids, finish = choice.get("token_ids"), choice.get("finish_reason")
        ended = isinstance(finish, str) and finish in FINISH_REASONS
        if ids is None and ended:
            raise EngineDied(
                f"{self.url} returns no token ids (return_token_ids), so what it wrote cannot be"
                " known to the token. Fix: serve the model with a vLLM that has return_token_ids"
            )
        usage = _object(answer.get("usage"))
        counted = usage.get("completion_tokens")
        cached = _object(usage.get("prompt_tokens_details")).get("cached_tokens")
        if not ended or not isinstance(ids, list) or not _token_ids(ids, counted):
            why = printable(repr(finish), SHOWN_NAME)
            raise NotNow(f"half an answer (finish_reason {why})", counts=True)
        if len(ids) > longest:
            detail = f"an answer of {len(ids)} tokens, where {longest} were asked for"
            raise NotNow(detail, counts=True)
        self._check_model(ids)
        if choice.get("prompt_token_ids") not in (None, prompt) or usage.get(
            "prompt_tokens"
        ) not in (None, len(prompt)):
            raise EngineDied(
                f"{self.url} completed another prompt than it was sent: it changes token ids. Fix:"
                " send to the server itself, not to a router that works on text"
            )
        return tuple(ids), str(finish), cached if type(cached) is int else None

    def _check_model(self, ids: Sequence[int]) -> None:
        if self._vocabulary is not None and max(ids) >= self._vocabulary:
            raise EngineDied(
                f"{self.url} wrote the token {max(ids)}, and the model here has {self._vocabulary}"
                " tokens: it serves another model under this name. Fix: set model and tokenizer to"
                " the one that it serves"
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _token_ids(values: list[Any], counted: Any) -> bool:
    """Whether these are the ids of a whole completion, which has at least its end; ``counted`` is
    how many the server says there are, if it does.
    """
    known = all(type(token) is int and 0 <= token < 1 << 31 for token in values)
    return known and len(values) > 0 and counted in (None, len(values))


def _without_folders(place: str) -> str:
    return PurePath(place).name if place[:1] in ("/", ".", "~") else place


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, empty for anything else."""
    return value if isinstance(value, dict) else {}
