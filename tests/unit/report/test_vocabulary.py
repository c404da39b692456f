"""Token ids to text, from tokenizer.json alone, against the tokenizers library."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tokenizers import Tokenizer

from cbdata.report.vocabulary import BYTE_LETTERS, VocabularyError, load_vocabulary
from tests.records import Vocabulary as ToyVocabulary

SENTENCE = "Grüße 漢字 🙂 emoji\n\ttabs and <|not_special|>"


def write_tokenizer(folder: Path, **parts: object) -> Path:
    (folder / "tokenizer.json").write_bytes(
        orjson.dumps({"added_tokens": [], "decoder": None, **parts})
    )
    return folder


def test_byte_letters_are_a_bijection_on_all_bytes() -> None:
    assert sorted(BYTE_LETTERS.values()) == list(range(256))
    assert BYTE_LETTERS["Ġ"] == 0x20 and BYTE_LETTERS["Ċ"] == 0x0A and BYTE_LETTERS["a"] == 0x61


def test_words_and_special_tokens(tmp_path: Path) -> None:
    toy = ToyVocabulary()
    ids = toy.encode("hello  wide\nworld")
    vocabulary = load_vocabulary(toy.save(tmp_path))
    assert "".join(str(vocabulary.text(token)) for token in ids) == "hello  wide\nworld"
    assert vocabulary.text(0) == "<|im_start|>" and vocabulary.special == {0, 1, 2, 3}


def test_parts_of_characters_are_bytes_and_unknown_ids_are_empty(tmp_path: Path) -> None:
    letters = {byte: letter for letter, byte in BYTE_LETTERS.items()}
    smile = "🙂".encode()
    vocab = {
        "".join(letters[byte] for byte in smile[:2]): 0,
        "".join(letters[byte] for byte in smile[2:]): 1,
        "Ġok": 2,
    }
    vocabulary = load_vocabulary(
        write_tokenizer(
            tmp_path, model={"type": "BPE", "vocab": vocab}, decoder={"type": "ByteLevel"}
        )
    )
    assert vocabulary.table([0, 1, 2, 9]) == {
        "0": list(smile[:2]),
        "1": list(smile[2:]),
        "2": " ok",
        "9": [],
    }


def test_sentencepiece_pieces(tmp_path: Path) -> None:
    vocabulary = load_vocabulary(
        write_tokenizer(
            tmp_path,
            model={
                "type": "Unigram",
                "vocab": [["▁the", -1.0], ["<0x0A>", -2.0], ["<0xE2>", -2.0]],
            },
        )
    )
    assert [vocabulary.text(token) for token in range(3)] == [" the", "\n", [0xE2]]


def test_a_model_without_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="expected a vocab"):
        load_vocabulary(write_tokenizer(tmp_path, model={"type": "Other"}))


@pytest.mark.parametrize("name", ["llama-3.1", "qwen3"])
def test_real_tokenizers_spell_texts_byte_by_byte(shared_dir: Path, name: str) -> None:
    folder = shared_dir / "tokenizers" / name
    ids = (
        Tokenizer.from_file(str(folder / "tokenizer.json"))
        .encode(SENTENCE, add_special_tokens=False)
        .ids
    )
    vocabulary = load_vocabulary(folder)
    assert b"".join(vocabulary.token_bytes(token) or b"?" for token in ids).decode() == SENTENCE
