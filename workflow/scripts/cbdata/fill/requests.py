"""Requests: what is sent to the engine for a skeleton, a mode and an attempt, and the keys that
finished work is found by.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cbdata.fill.settings import FillSettings
from cbdata.fill.token_budget import TokenBudget
from cbdata.ids import digest, request_seed
from cbdata.records import Mode
from cbdata.rejects import Reject


class RequestKey(NamedTuple):
    """What a finished completion is stored under: two requests with one key ask for the same."""

    trace_id: str
    mode: Mode
    attempt: int
    prompt_sha256: str
    sampling_sha256: str


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to generate. ``prompt_ids`` are unsigned 32-bit token ids, ``attempt`` counts
    from 1. ``grammar`` (EBNF in xgrammar's dialect) is what the completion is held to, or None.
    ``set_index``: whose skeleton it is, of the job's sets.
    """

    trace_id: str
    mode: Mode
    attempt: int
    prompt_ids: array.array[int]
    prompt_sha256: str
    sampling_sha256: str
    seed: int
    temperature: float
    top_p: float
    max_tokens: int
    grammar: str | None = None
    set_index: int = 0

    @property
    def key(self) -> RequestKey:
        """What a finished completion of exactly this request is stored under."""
        return RequestKey(
            self.trace_id, self.mode, self.attempt, self.prompt_sha256, self.sampling_sha256
        )


@dataclass(frozen=True)
class Sampling:
    """Everything besides the prompt that a completion of one mode depends on, attempts and trace
    apart.
    """

    settings: FillSettings
    mode: Mode
    engine: Mapping[str, Any]
    """Identity of what generates: backend, model fingerprint, weight type, grammar or None."""
    thinking_tokens: int = 0
    """The budget of reasoning, as ``token_budget.thinking_tokens`` gives it."""

    @property
    def budget(self) -> TokenBudget:
        """The most tokens of a completion and of its parts."""
        return TokenBudget(self.settings.max_tokens, self.thinking_tokens)

    @property
    def grammar(self) -> str | None:
        """What completions are held to."""
        return self.engine.get("grammar")

    def held_to(self, grammar: str | None) -> Sampling:
        """The same with another grammar."""
        if grammar == self.grammar:
            return self
        return replace(self, engine={**self.engine, "grammar": grammar})

    def sha256(self, seed: int) -> str:
        """The sampling hash of a request with this seed.

        Of the budgets it has what the engine is given, which is their sum; the parts are the
        judge's business.
        """
        return digest(
            {
                **self.engine,
                "seed": seed,
                "temperature": float(self.settings.temperature(self.mode)),
                "top_p": float(self.settings.top_p),
                "max_tokens": self.budget.longest,
            }
        )


@dataclass(frozen=True)
class WorkItem:
    """A skeleton in one mode: what gets up to ``attempts`` completions until one is accepted.

    ``line`` is the skeleton's in its file, from 1; ``set_index`` says in which of the job's sets.
    """

    trace_id: str
    line: int
    mode: Mode
    prompt_ids: array.array[int]
    prompt_sha256: str
    sampling: Sampling
    set_index: int = 0

    def request(self, attempt: int) -> Request:
        """The request of an attempt, counted from 1: independent of batch, shard and resume."""
        settings = self.sampling.settings
        seed = request_seed(settings.seed, self.trace_id, self.mode, attempt)
        return Request(
            trace_id=self.trace_id,
            mode=self.mode,
            attempt=attempt,
            prompt_ids=self.prompt_ids,
            prompt_sha256=self.prompt_sha256,
            sampling_sha256=self.sampling.sha256(seed),
            seed=seed,
            temperature=float(settings.temperature(self.mode)),
            top_p=float(settings.top_p),
            max_tokens=self.sampling.budget.longest,
            grammar=self.sampling.grammar,
            set_index=self.set_index,
        )


def prefix_order(request: Request) -> tuple[bytes, str, int]:
    """Sort key that puts prompts with a long common prefix side by side: the ids compared one by
    one, then mode and attempt.
    """
    ids = array.array("I", request.prompt_ids)
    if sys.byteorder == "little":
        ids.byteswap()
    return ids.tobytes(), request.mode, request.attempt


def by_shared_prefix(requests: Iterable[Request]) -> list[Request]:
    """The requests in the order in which they are sent: one set after the other, so that each is
    done as early as can be and what it takes can be told.
    """
    return sorted(
        requests,
        key=lambda request: (request.set_index, *prefix_order(request), request.trace_id),
    )


def overlength(prompt_tokens: int, budget: TokenBudget, max_model_len: int) -> Reject | None:
    """Say why a prompt does not fit, or None.

    Args:
        prompt_tokens: Tokens of the prompt.
        budget: The most tokens of a completion.
        max_model_len: Tokens that prompt and completion may have together.
    """
    if prompt_tokens + budget.longest <= max_model_len:
        return None
    return Reject(
        "overlength",
        f"{prompt_tokens} prompt tokens + {budget} > max_model_len {max_model_len}",
    )
