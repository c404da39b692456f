"""Added tokens from every file that names them: ids are transformers' own, and only structure is a
control token.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cbdata.render.added_tokens import AddedToken
from cbdata.render.align import assemble
from cbdata.render.encoder import SegmentEncoder
from cbdata.render.settings import TokenizerError
from cbdata.render.tokenizer import PlainTokenizer, load_tokenizer
from tests.unit.render.setups import Setup

TEXT = "one<new>two <|im_end|> three <eos> x <left> y <extra> z <pic> <soft>word"


def ids_of(text: str, tokenizer: PlainTokenizer) -> list[int]:
    pieces = tokenizer.pattern.split(text)
    encoder = SegmentEncoder(tokenizer)
    return assemble(pieces, encoder.encode(filter(None, pieces[::2])), encoder).ids()


def folder_with(
    folder: Path, source: Path, config: dict[str, Any], files: dict[str, Any] | None = None
) -> Path:
    """SmolLM2's tokenizer with a configuration and files of its own."""
    shutil.copy(source / "tokenizer.json", folder / "tokenizer.json")
    for name, content in {"tokenizer_config.json": config, **(files or {})}.items():
        (folder / name).write_text(json.dumps(content))
    return folder


FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "declared": (
        {
            "added_tokens_decoder": {
                "49154": {"content": "<new>", "special": True, **FLAGS},
                "60000": {"content": "<left>", "special": False, **FLAGS, "lstrip": True},
                "49160": {"content": "<soft>", "special": False},
            }
        },
        {},
    ),
    "other flags": (
        {
            "added_tokens_decoder": {
                "2": {"content": "<|im_end|>", "special": True, **FLAGS, "lstrip": True}
            }
        },
        {},
    ),
    "named": ({"eos_token": "<eos>", "image_token": "<pic>", "pad_token": "<|im_end|>"}, {}),
    "named as an object": (
        {"eos_token": {"__type": "AddedToken", "content": "<eos>", **FLAGS, "rstrip": True}},
        {},
    ),
    "listed": ({"extra_special_tokens": ["<extra>", "<pic>"]}, {}),
    "listed as before": ({"additional_special_tokens": ["<extra>", "<|im_end|>"]}, {}),
    "listed by name": ({"extra_special_tokens": {"image_token": "<pic>"}}, {}),
    "special tokens map": (
        {},
        {
            "special_tokens_map.json": {
                "eos_token": {"content": "<eos>", **FLAGS},
                "additional_special_tokens": ["<extra>"],
            }
        },
    ),
    "special tokens map beside a decoder": (
        {"added_tokens_decoder": {}},
        {"special_tokens_map.json": {"eos_token": "<eos>"}},
    ),
    "added tokens": (
        {"eos_token": "<eos>"},
        {"added_tokens.json": {"<new>": 49152, "<eos>": 49153}},
    ),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_ids_are_transformers_own(case: str, tmp_path: Path, smollm2: Setup) -> None:
    transformers = pytest.importorskip("transformers")
    config, files = CASES[case]
    folder = folder_with(tmp_path, smollm2.folder, config, files)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer = load_tokenizer(folder)
    assert ids_of(TEXT, tokenizer) == theirs(TEXT, add_special_tokens=False)["input_ids"]
    ours = {token.text: token.id for token in tokenizer.control.values()}
    assert ours | tokenizer.text_ids == theirs.get_added_vocab()
    assert tokenizer.special == theirs.special_tokens_map


def test_ids_of_the_file_that_are_not_the_vocabularys(tmp_path: Path, smollm2: Setup) -> None:
    """The library takes the vocabulary's id, or the next one, whatever the file says."""
    folder = folder_with(tmp_path, smollm2.folder, {})
    data = json.loads((folder / "tokenizer.json").read_text())
    data["added_tokens"] += [
        {"id": number, "content": content, "special": True, **FLAGS}
        for number, content in ((60000, "<gap>"), (60001, "house"), (60002, "<other>"))
    ]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    tokenizer, whole = load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "a<gap>house<other>b"
    assert ids_of(text, tokenizer) == whole.encode(text, add_special_tokens=False).ids


def test_the_hash_says_that_another_file_added_tokens(tmp_path: Path, smollm2: Setup) -> None:
    hashes = set()
    for name, config in {
        "one": {},
        "two": {"eos_token": "<|im_end|>"},
        "three": {"eos_token": "<eos>"},
    }.items():
        (tmp_path / name).mkdir()
        hashes.add(load_tokenizer(folder_with(tmp_path / name, smollm2.folder, config)).sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json"])
def test_a_file_that_is_no_object(name: str, tmp_path: Path, smollm2: Setup) -> None:
    with pytest.raises(TokenizerError, match="expected a JSON object"):
        load_tokenizer(folder_with(tmp_path, smollm2.folder, {}, {name: ["<eos>"]}))


@pytest.mark.parametrize(
    ("content", "special", "text"),
    [
        ("<b>", False, True),
        ("</blockquote>", False, True),
        ("<br/>", False, True),
        ("   ", False, True),
        ("\u2581\u2581", False, True),
        ("word", False, True),
        ("two words", False, True),
        ("<b>", True, False),
        ("<tool_call>", False, False),
        ("<think>", False, False),
        ("<\uff5cUser\uff5c>", False, False),
        ("<unused7>", False, False),
        ("[INST]", False, False),
        ("]~b]", False, False),
    ],
)
def test_what_is_text(content: str, special: bool, text: bool) -> None:
    assert AddedToken(5, content, special).is_text is text


WORDS = (
    "a",
    "  ",
    "   ",
    "\n\n",
    "\t\t",
    "<b>",
    "</table>",
    "<i",
    "é",
    "\u2581\u2581",
    "日本",
    "x1",
)


@pytest.fixture(scope="module", params=["gemma-3", "deepseek-v3"])
def real(request: pytest.FixtureRequest, shared_dir: Path) -> tuple[PlainTokenizer, Tokenizer]:
    folder = shared_dir / "tokenizers" / request.param
    return load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_ordinary_text_has_the_ids_of_the_whole_tokenizer(
    real: tuple[PlainTokenizer, Tokenizer], data: st.DataObject
) -> None:
    tokenizer, whole = real
    added = sorted((*tokenizer.control, *tokenizer.text_ids))
    pieces = st.one_of(st.sampled_from(WORDS), st.sampled_from(added), st.text("ab <>", max_size=4))
    text = "".join(data.draw(st.lists(pieces, max_size=10)))
    assert ids_of(text, tokenizer) == whole.encode(text, add_special_tokens=False).ids


def test_two_spaces_and_html_on_gemma(shared_dir: Path) -> None:
    tokenizer = load_tokenizer(shared_dir / "tokenizers" / "gemma-3")
    segment = SegmentEncoder(tokenizer).encode(["a  b <b>c</b>\n\nd"])["a  b <b>c</b>\n\nd"]
    ids = [
        tokenizer.model.token_to_id(each) for each in ("a", "\u2581\u2581", "b", "\u2581", "<b>")
    ]
    assert segment.packed.tolist()[:5] == ids
    assert not {"  ", "<b>", "</b>", "\n\n"} & set(tokenizer.control)
    assert {"<start_of_turn>", "<end_of_turn>", "<unused3>", "<mask>"} <= set(tokenizer.control)


def test_tokens_of_the_normalised_text(tmp_path: Path, smollm2: Setup) -> None:
    """Found as the library finds them, also before a mark that their last character composes
    with.
    """
    folder = folder_with(tmp_path, smollm2.folder, {})
    data = json.loads((folder / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "NFC"}
    first = len(data["model"]["vocab"])
    data["added_tokens"].append(
        {"id": first, "content": "<late>", "special": True, **FLAGS, "normalized": True}
    )
    (folder / "tokenizer.json").write_text(json.dumps(data))
    tokenizer, whole = load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in ("a<late>b", "a<late>\u0338b", "<late>\u0301"):
        assert ids_of(text, tokenizer) == whole.encode(text, add_special_tokens=False).ids


def test_tokens_that_normalisation_changes_are_refused(tmp_path: Path, smollm2: Setup) -> None:
    folder = folder_with(tmp_path, smollm2.folder, {})
    data = json.loads((folder / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Lowercase"}
    data["added_tokens"].append(
        {"id": 60000, "content": "<LATE>", "special": True, **FLAGS, "normalized": True}
    )
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(TokenizerError, match="only after normalisation"):
        load_tokenizer(folder)
