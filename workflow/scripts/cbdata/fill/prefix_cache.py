"""What of the prompts the engine did not have to read, because their beginning was in its prefix
cache.
"""

from __future__ import annotations


def hit_rate(cached: int | None, prompt_tokens: int) -> float | None:
    """The share of prompt tokens that came from the prefix cache, 0 to 1; None where nothing can be
    said.

    Args:
        cached: Prompt tokens from the cache; None where the engine has none, or does not say.
        prompt_tokens: All prompt tokens of the same requests.
    """
    return None if cached is None or not prompt_tokens else cached / prompt_tokens


def describe_cache(cached: int | None, prompt_tokens: int, engine: str = "this engine") -> str:
    """The same for people.

    Args:
        cached: As above.
        prompt_tokens: As above.
        engine: The engine's name.
    """
    if not prompt_tokens:
        return "nothing was generated"
    rate = hit_rate(cached, prompt_tokens)
    if rate is None:
        return f"not applicable ({engine} has none, or does not say)"
    return f"{rate:.1%} of {prompt_tokens:,} prompt tokens"
