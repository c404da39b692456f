"""``chat_template: auto``: the project's template stands in for stock ones that lose data."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cbdata.config import default_settings
from cbdata.paths import CHAT_TEMPLATES
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, RenderStageSettings, TokenizerError
from cbdata.render.stage import render_traces
from cbdata.render.stock_templates import CONTROL, STOCK, Stock, stand_in, stock_of
from cbdata.stage import StageFiles
from tests.unit.render.setups import Setup, read_lines


@pytest.fixture(scope="module")
def llama(shared_dir: Path) -> Path:
    return shared_dir / "tokenizers" / "llama-3.1"


def renderer(folder: Path, **changes: Any) -> Renderer:
    return Renderer.load(default_settings(RenderSettings, tokenizer=str(folder), **changes))


def test_every_stand_in_is_a_template_of_the_project() -> None:
    for stock in STOCK.values():
        assert (CHAT_TEMPLATES / f"{stock.project}.jinja").is_file()


def test_the_stock_template_of_llama_is_replaced_and_it_is_said(
    llama: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = renderer(llama)
    assert made.chat_template_name == "llama31_tools"
    assert "stock one of Llama 3.1" in caplog.text
    assert "drops the text beside a call" in caplog.text
    forced = renderer(llama, chat_template=None, force_llama=True)
    assert made.chat_template_sha256 == forced.chat_template_sha256


def test_null_takes_the_tokenizers_own(llama: Path) -> None:
    assert renderer(llama, chat_template=None).chat_template_name == "tokenizer"


def test_white_space_around_the_stock_template_does_not_matter(llama: Path) -> None:
    own = json.loads((llama / "tokenizer_config.json").read_text())["chat_template"]
    assert stock_of(f"\n{own}\n\n") == stock_of(own) is not None
    assert stock_of(own.replace("ipython", "tool")) is None


def test_a_changed_template_and_other_tokenizers_keep_their_own(smollm2: Setup) -> None:
    assert renderer(smollm2.folder).chat_template_name == "tokenizer"
    assert stand_in(None, {}) is None


def test_a_tokenizer_without_the_control_tokens_keeps_its_own(
    llama: Path, smollm2: Setup, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = json.loads((llama / "tokenizer_config.json").read_text())["chat_template"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(smollm2.folder / name, tmp_path / name)
    (tmp_path / "chat_template.jinja").write_text(own)
    assert renderer(tmp_path).chat_template_name == "tokenizer"
    assert "lacks" in caplog.text
    printed = CONTROL.findall((CHAT_TEMPLATES / "llama31_tools.jinja").read_text())
    assert "<|python_tag|>" in printed


def test_a_listed_stock_template_is_replaced(
    smollm2: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hermes lists ``default`` and ``tool_use``. Which of them is meant is never guessed."""
    config = json.loads((smollm2.folder / "tokenizer_config.json").read_text())
    config["bos_token"] = "<|endoftext|>"
    listed = {"default": "{{ messages[0].content }}", "tool_use": "stock"}
    config["chat_template"] = [
        {"name": name, "template": template} for name, template in listed.items()
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    shutil.copy(smollm2.folder / "tokenizer.json", tmp_path)
    with pytest.raises(TokenizerError, match="several chat templates"):
        renderer(tmp_path)
    assert renderer(tmp_path, chat_template="hermes_tools").chat_template_name == "hermes_tools"
    known = hashlib.sha256(b"stock").hexdigest()
    monkeypatch.setitem(STOCK, known, Stock("Hermes", "loses something", "hermes_tools"))
    settings = default_settings(RenderSettings, tokenizer=str(tmp_path))
    Renderer.check_files(settings)
    assert renderer(tmp_path).chat_template_name == "hermes_tools"
    with pytest.raises(TokenizerError, match="several chat templates"):
        renderer(tmp_path, chat_template=None)


def test_the_seeds_default_run_keeps_agentdojo(
    llama: Path, transcripts_file: Path, repo: Path, tmp_path: Path
) -> None:
    """The tokenizer of the seed document and nothing else set: the stock template keeps 449 of
    1,528.
    """
    files = StageFiles.of(
        *(tmp_path / name for name in ("out.jsonl", "rejects.jsonl", "stats.json"))
    )
    options = default_settings(
        RenderStageSettings, tool_schema_dirs=[repo / "configs/tool_schemas"]
    )
    settings = default_settings(RenderSettings, tokenizer=str(llama))
    render_traces(transcripts_file, files, settings, options, name="agentdojo_complete")
    rejects = Counter(reject["reason"] for reject in read_lines(files.rejects))
    names = {row["render_options"]["chat_template_name"] for row in read_lines(files.out)}
    assert (rejects, names) == (Counter(), {"llama31_tools"})
    assert sum(1 for _ in read_lines(files.out)) == 1528
