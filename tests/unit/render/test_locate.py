"""Where tokenizers are found, what they are called in renders, and what is said when there is
none.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cbdata.config import default_settings
from cbdata.render.locate import locate_tokenizer
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, TokenizerError
from tests.unit.render.setups import Setup


def hub_cache(root: Path, commits: list[str], main: str | None = None) -> Path:
    """A cache as huggingface_hub lays it out, with empty tokenizer files."""
    model = root / "models--org--name"
    for commit in commits:
        (model / "snapshots" / commit).mkdir(parents=True)
        (model / "snapshots" / commit / "tokenizer.json").write_text("{}")
    if main:
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text(main)
    return root


def test_directory_is_called_by_its_name(demo_model: Path) -> None:
    assert locate_tokenizer(str(demo_model)) == (demo_model, demo_model.name)


@pytest.mark.parametrize("below", ["", "hub"])
def test_hub_id_in_a_cache(tmp_path: Path, below: str) -> None:
    hub_cache(tmp_path / below, ["aaa", "bbb"], main="bbb")
    folder, name = locate_tokenizer("org/name", str(tmp_path))
    assert (folder.name, name) == ("bbb", "org/name")
    assert locate_tokenizer("org/name", str(tmp_path), "aaa")[0].name == "aaa"


def test_snapshot_path_gets_the_hub_id(tmp_path: Path) -> None:
    hub_cache(tmp_path, ["aaa"])
    assert locate_tokenizer(str(tmp_path / "models--org--name/snapshots/aaa"))[1] == "org/name"


def test_one_snapshot_needs_no_reference_two_do(tmp_path: Path) -> None:
    assert locate_tokenizer("org/name", str(hub_cache(tmp_path / "one", ["aaa"])))[0].name == "aaa"
    with pytest.raises(TokenizerError):
        locate_tokenizer("org/name", str(hub_cache(tmp_path / "two", ["aaa", "bbb"])))


def test_missing_tokenizer_names_places_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"models--org--name.*hf download org/name"):
        locate_tokenizer("org/name", str(tmp_path))
    with pytest.raises(TokenizerError, match="no such directory"):
        locate_tokenizer(str(tmp_path / "nowhere"))
    with pytest.raises(TokenizerError, match=r"expected a tokenizer\.json"):
        locate_tokenizer(str(tmp_path))


def test_hugging_face_variables_name_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(hub_cache(tmp_path, ["aaa"])))
    assert locate_tokenizer("org/name")[0].name == "aaa"


def copy_of(source: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, target / name)
    return target


def test_unusable_tokenizers_say_why(tmp_path: Path, smollm2: Setup) -> None:
    def load(folder: Path) -> Renderer:
        return Renderer.load(default_settings(RenderSettings, tokenizer=str(folder)))

    folder = copy_of(smollm2.folder, tmp_path / "a")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(TokenizerError, match="no chat template"):
        load(folder)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "chat_template": [
                    {"name": "default", "template": "x"},
                    {"name": "tool_use", "template": "y"},
                ]
            }
        )
    )
    with pytest.raises(TokenizerError, match=r"several chat templates \['default', 'tool_use'\]"):
        load(folder)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(TokenizerError, match="names the special tokens"):
        load(folder)


def test_positional_pretokenizer_and_late_control_tokens_are_refused(
    tmp_path: Path, smollm2: Setup
) -> None:
    folder = copy_of(smollm2.folder, tmp_path / "a")
    data = json.loads((folder / "tokenizer.json").read_text())
    data["pre_tokenizer"] = {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "first",
        "split": True,
    }
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(TokenizerError, match="prepend_scheme first"):
        Renderer.load(default_settings(RenderSettings, tokenizer=str(folder)))
    data = json.loads((smollm2.folder / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Lowercase"}
    data["added_tokens"][1]["normalized"] = True
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(TokenizerError, match="only after normalisation"):
        Renderer.load(default_settings(RenderSettings, tokenizer=str(folder)))


def test_force_llama_needs_llama_tokens(smollm2: Setup) -> None:
    with pytest.raises(TokenizerError, match=r"force_llama.*python_tag"):
        Renderer.load(
            default_settings(RenderSettings, tokenizer=str(smollm2.folder), force_llama=True)
        )


def test_contradicting_and_unknown_settings() -> None:
    with pytest.raises(TokenizerError, match="contradict"):
        default_settings(RenderSettings, tokenizer="x", force_llama=True, chat_template="other")
    with pytest.raises(TokenizerError, match="control_tokens"):
        default_settings(RenderSettings, tokenizer="x", control_tokens="drop")


def test_chat_template_by_name_path_or_error(smollm2: Setup, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    )
    assert (
        Renderer.load(
            default_settings(RenderSettings, tokenizer=str(smollm2.folder), chat_template=str(file))
        ).chat_template_name
        == "mine"
    )
    with pytest.raises(TokenizerError, match="llama31_tools"):
        Renderer.load(
            default_settings(RenderSettings, tokenizer=str(smollm2.folder), chat_template="missing")
        )
