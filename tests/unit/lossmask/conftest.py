"""The registry, and masks shown as token strings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbdata.lossmask.masks import make_mask
from cbdata.lossmask.registry import Registry, load_registry
from tests.unit.lossmask.files import Files


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def trained(registry: Registry) -> Callable[..., str]:
    """``trained(render, tokens, policy, params)``: the tokens with loss, joined by spaces, marked
    ``token*weight`` where the weight is not 1.
    """

    def of(
        render: dict[str, Any], tokens: list[str], policy: str, params: dict[str, Any] | None = None
    ) -> str:
        weights = make_mask(render, registry.bind(policy, params).layers).weights()
        return " ".join(
            token if weight == 1 else f"{token}*{weight}"
            for token, weight in zip(tokens, weights, strict=True)
            if weight
        )

    return of


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
