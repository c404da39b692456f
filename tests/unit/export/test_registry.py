"""The registry of exports: each writes the outputs that it declares, from what it reads."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from cbdata.config import config_defaults
from cbdata.export import ExportFiles
from cbdata.export.registry import EXPORTS, Export
from tests.records import Corpus


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_an_export_writes_its_outputs_and_nothing_else(export: Export, tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    corpus.write(tmp_path / "run")
    run = {
        "traces": (corpus.trace_file,),
        "renders": (corpus.render_file,),
        "lossmasks": (corpus.mask_file,),
        "skeletons": (corpus.skeleton_file,),
    }
    files = ExportFiles(**{kind: run[kind] for kind in export.reads})
    outputs = {name: tmp_path / "export" / path for name, path in export.outputs.items()}
    options = {key: config_defaults()[key] for key in export.options}
    counts = importlib.import_module(export.dotted).write(files, outputs, options)
    assert counts
    assert all(path.exists() for path in outputs.values())
    made = [path for path in (tmp_path / "export").rglob("*") if path.is_file()]
    assert made
    for path in made:
        assert any(path == output or output in path.parents for output in outputs.values()), path


def test_names_and_logs_of_exports_differ() -> None:
    for field in ("name", "log"):
        values = [getattr(export, field) for export in EXPORTS]
        assert len(set(values)) == len(values), field
