"""A tokenizer that is loaded ahead is the one that would be loaded, and is given away once; an
error comes up where the tokenizer is wanted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.config import default_settings
from cbdata.render.ahead import load_ahead, loaded_ahead
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, TokenizerError
from tests.unit.render.setups import Setup


def test_the_renderer_takes_it_and_renders_the_same(smollm2: Setup) -> None:
    plain = smollm2.renderer()
    load_ahead(smollm2.settings())
    ahead = smollm2.renderer()
    assert ahead.tokenizer.sha256 == plain.tokenizer.sha256
    messages = [{"role": "user", "content": "hi"}]
    assert ahead.prompt(messages).ids == plain.prompt(messages).ids
    assert loaded_ahead(smollm2.folder) is None


def test_one_of_another_folder_is_not_taken(smollm2: Setup, tmp_path: Path) -> None:
    load_ahead(smollm2.settings())
    assert loaded_ahead(tmp_path) is None
    assert loaded_ahead(smollm2.folder) is not None


def test_an_error_comes_up_where_the_tokenizer_is_wanted(tmp_path: Path) -> None:
    settings = default_settings(RenderSettings, tokenizer=str(tmp_path / "none"))
    load_ahead(settings)
    with pytest.raises(TokenizerError, match="none"):
        Renderer.load(settings)
