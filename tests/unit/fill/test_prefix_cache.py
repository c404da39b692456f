"""What is said of the engine's prefix cache."""

from __future__ import annotations

import pytest

from cbdata.fill.prefix_cache import describe_cache, hit_rate


@pytest.mark.parametrize(
    ("cached", "prompts", "rate", "words"),
    [
        (750, 1000, 0.75, "75.0% of 1,000 prompt tokens"),
        (0, 1000, 0.0, "0.0% of 1,000 prompt tokens"),
        (None, 1000, None, "not applicable (transformers has none, or does not say)"),
        (None, 0, None, "nothing was generated"),
    ],
)
def test_a_rate_an_engine_without_a_cache_and_a_run_that_generated_nothing(
    cached: int | None, prompts: int, rate: float | None, words: str
) -> None:
    assert hit_rate(cached, prompts) == rate
    assert describe_cache(cached, prompts, "transformers") == words
