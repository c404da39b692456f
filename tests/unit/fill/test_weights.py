"""Weights that are not whole are told from those that are, before an engine reads them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cbdata.fill.models import ModelMissing, find_model
from cbdata.fill.weights import fault_of

TENSORS = {
    "__metadata__": {"format": "pt"},
    "b": {"dtype": "F32", "shape": [3], "data_offsets": [8, 20]},
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
}
HEADER = orjson.dumps(TENSORS)
WHOLE = len(HEADER).to_bytes(8, "little") + HEADER + bytes(20)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (WHOLE, None),
        (WHOLE + b"\0", None),
        (WHOLE[:-1], f"is cut short: {len(WHOLE) - 1} bytes of {len(WHOLE)}"),
        (WHOLE[:20], f"is cut short: 20 bytes, and its header alone is to be {len(HEADER)} long"),
        (b"\1", "is cut short: 1 bytes, and its header alone is to be 1 long"),
        (b"<html>" * 99, "is no safetensors file: its header cannot be read"),
        ((2).to_bytes(8, "little") + b"[]", "is no safetensors file: its header cannot be read"),
        ((2).to_bytes(8, "little") + b"{}", None),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer, not the weights"),
    ],
)
def test_a_file_says_what_is_wrong_with_it(tmp_path: Path, data: bytes, fault: str | None) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    assert fault_of(path) == fault


def test_other_kinds_of_files_do_not_tell(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE[:20])
    assert fault_of(path) is None
    assert fault_of(tmp_path / "none.gguf") == "cannot be read (No such file or directory)"


def test_a_model_with_a_file_cut_short_is_refused_by_the_files_name(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelMissing, match=r"model\.safetensors: is cut short: .* Hint: was the"):
        find_model(str(model_folder), None, None, offline=True)
