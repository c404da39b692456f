"""Finding the tokenizer of a render."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cbdata.render.tokenizer import load_tokenizer
from cbdata.terminal.find import NotFoundError
from cbdata.terminal.tokenizer import find_tokenizer
from tests.records import Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus(pairs=1, validation_pairs=0).write(tmp_path)
    corpus.renders[0]["tokenizer_sha256"] = load_tokenizer(corpus.tokenizer).sha256
    return corpus


def settings(corpus: Corpus, name: str, **values: object) -> None:
    folder = corpus.folder / "run_configs"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_bytes(orjson.dumps(values))


def test_the_given_folder_is_taken(corpus: Corpus) -> None:
    found = find_tokenizer(corpus.folder, corpus.renders[0], str(corpus.tokenizer))
    assert found == corpus.tokenizer


@pytest.mark.parametrize("key", ["tokenizer", "model"])
def test_the_settings_of_the_run_name_a_local_folder(corpus: Corpus, key: str) -> None:
    settings(corpus, "old", tokenizer="org/other", cache_dir=None)
    settings(corpus, "new", **{key: str(corpus.tokenizer)})
    (corpus.folder / "run_configs/broken.json").write_text("{")
    assert find_tokenizer(corpus.folder, corpus.renders[0]) == corpus.tokenizer


def test_another_tokenizer_is_not_taken(corpus: Corpus) -> None:
    corpus.renders[0]["tokenizer_sha256"] = "0" * 64
    settings(corpus, "one", tokenizer=str(corpus.tokenizer))
    for given in (None, str(corpus.tokenizer)):
        with pytest.raises(NotFoundError) as error:
            find_tokenizer(corpus.folder, corpus.renders[0], given)
        told = str(error.value)
        assert told.startswith("expected the tokenizer toy that the trace was rendered with")
        assert f"{corpus.tokenizer}: another tokenizer.json" in told
        assert told.endswith("Hint: name its directory with --tokenizer")
