"""Splitting at control tokens and encoding what is between them: the ids of the whole text."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cbdata.rejects import Reject
from cbdata.render.align import assemble
from cbdata.render.encoder import SegmentEncoder
from cbdata.render.renderer import Renderer
from cbdata.render.settings import TokenizerError
from cbdata.render.tokenizer import PlainTokenizer, load_tokenizer
from tests.unit.render.setups import Setup

WORDS = (
    "word",
    " ",
    "  ",
    "\n",
    "\t",
    "é",
    "e\u0301",
    "😀",
    "x1",
    "_",
    "<",
    "|>",
    "\u00a0",
    "日本",
)


# SmolLM2's vocabulary lacks some bytes (control characters, rare planes).
SPELLABLE = st.characters(max_codepoint=0x1FFFF, exclude_categories=["Cs", "Cn", "Cc", "Co"])


def joined_ids(text: str, tokenizer: PlainTokenizer) -> list[int]:
    pieces = tokenizer.pattern.split(text)
    encoder = SegmentEncoder(tokenizer)
    return assemble(pieces, encoder.encode(filter(None, pieces[::2])), encoder).ids()


@pytest.fixture(scope="module")
def whole(setup: Setup) -> Tokenizer:
    return Tokenizer.from_file(str(setup.folder / "tokenizer.json"))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_ids_of_the_whole_text(data: st.DataObject, renderer: Renderer, whole: Tokenizer) -> None:
    tokens = sorted(renderer.tokenizer.control)
    text = "".join(
        data.draw(
            st.lists(
                st.one_of(
                    st.sampled_from(WORDS), st.sampled_from(tokens), st.text(SPELLABLE, max_size=3)
                ),
                max_size=12,
            )
        )
    )
    assert joined_ids(text, renderer.tokenizer) == whole.encode(text, add_special_tokens=False).ids


def test_text_that_the_vocabulary_cannot_spell_is_refused(smollm2_renderer: Renderer) -> None:
    """Its model would drop the byte in silence, as transformers does."""
    with pytest.raises(Reject, match="tokens_do_not_spell_text"):
        smollm2_renderer.prompt([{"role": "user", "content": "a\x1db"}])


PLAIN = {
    "lstrip": False,
    "rstrip": False,
    "single_word": False,
    "normalized": False,
    "special": True,
}
SWALLOWING = {
    "<keep>": {},
    "<left>": {"lstrip": True},
    "<right>": {"rstrip": True},
    "<both>": {"lstrip": True, "rstrip": True},
    "word!": {"single_word": True},
    "<plain": {},
    "<plain>": {},
    "<soft>": {"special": False},
}
WHITE = {
    "<keep>": {},
    "    ": {"special": False},
    "\n\n": {"special": False},
    "\u00a0": {},
    "<soft>": {"special": False},
}


def odd_tokenizer(
    folder: Path, source: Path, options: dict[str, dict[str, bool]]
) -> tuple[PlainTokenizer, Tokenizer]:
    """SmolLM2's vocabulary with added tokens of its own; the project's loading of it and the
    library's.
    """
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, folder / name)
    data = json.loads((source / "tokenizer.json").read_text())
    first = len(data["model"]["vocab"])
    data["added_tokens"] += [
        {"id": first + number, "content": text, **PLAIN, **changes}
        for number, (text, changes) in enumerate(options.items())
    ]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    return load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module", params=[SWALLOWING, WHITE], ids=["swallowing", "white"])
def odd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, smollm2: Setup
) -> tuple[PlainTokenizer, Tokenizer]:
    return odd_tokenizer(tmp_path_factory.mktemp("odd"), smollm2.folder, request.param)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from((*SWALLOWING, *WHITE))), max_size=10)
)
@example(["e\u0301", "word!"])  # a combining mark is part of a word
def test_spaces_around_added_tokens(
    odd: tuple[PlainTokenizer, Tokenizer], words: list[str]
) -> None:
    tokenizer, whole_tokenizer = odd
    text = "".join(words)
    assert joined_ids(text, tokenizer) == whole_tokenizer.encode(text, add_special_tokens=False).ids


def test_white_space_tokens_are_text_not_structure(tmp_path: Path, smollm2: Setup) -> None:
    tokenizer, whole = odd_tokenizer(tmp_path, smollm2.folder, WHITE)
    assert set(tokenizer.text_tokens) == {"    ", "\n\n"}
    assert "<soft>" in tokenizer.control
    encoder = SegmentEncoder(tokenizer)
    text = "a\n\nb    c"
    segment = encoder.encode([text])[text]
    assert segment.packed.tolist() == whole.encode(text, add_special_tokens=False).ids
    assert [encoder.token_at(segment, place, end=False) for place in (1, 2, 3, 4, 6, 8)] == [
        1,
        1,
        2,
        3,
        3,
        4,
    ]


def test_white_space_tokens_beside_swallowing_ones_are_refused(
    tmp_path: Path, smollm2: Setup
) -> None:
    with pytest.raises(TokenizerError, match="swallow"):
        odd_tokenizer(tmp_path, smollm2.folder, SWALLOWING | WHITE)


def test_hash_is_of_the_file(smollm2: Setup, smollm2_renderer: Renderer) -> None:
    assert (
        smollm2_renderer.tokenizer_sha256
        == hashlib.sha256((smollm2.folder / "tokenizer.json").read_bytes()).hexdigest()
    )


def test_decode_spells_control_tokens(renderer: Renderer) -> None:
    prompt = renderer.prompt([{"role": "user", "content": "é😀 12"}])
    assert renderer.decode(prompt.ids) == prompt.text
    assert renderer.decode(prompt.ids, skip_special_tokens=True).strip().endswith("assistant")


def test_tokenizer_json_of_another_writer(tmp_path: Path, smollm2: Setup) -> None:
    """Keys in another order are refused with the way to repair them, not misread."""
    data = json.loads((smollm2.folder / "tokenizer.json").read_text())
    data["added_tokens"] = data.pop("added_tokens")
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(TokenizerError, match="before model"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("text", ["model", "added_tokens", '"model":', '"added_tokens": ['])
def test_an_added_token_that_is_called_as_a_key_is(
    tmp_path: Path, smollm2: Setup, text: str
) -> None:
    ours, whole = odd_tokenizer(tmp_path, smollm2.folder, {text: {}})
    assert ours.control[text].id == whole.token_to_id(text)


def test_one_whose_model_is_read_later_is_the_same(setup: Setup) -> None:
    at_once, later = (load_tokenizer(setup.folder, model_later=later) for later in (False, True))
    for field in fields(at_once):
        if field.name not in ("read", "outline", "name"):
            assert getattr(later, field.name) == getattr(at_once, field.name)
    size = at_once.model.get_vocab_size()
    assert [later.name(token) for token in range(size + 2)] == [
        at_once.name(token) for token in range(size + 2)
    ]
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        assert str(getattr(later.outline, part)) == str(getattr(at_once.outline, part))
    assert later.model.to_str() == at_once.model.to_str()
    assert later.model is later.model


def test_two_threads_that_ask_at_once_get_one_model(
    smollm2: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(data: bytes) -> Tokenizer:
        time.sleep(0.1)
        return Tokenizer.from_buffer(data)

    later = load_tokenizer(smollm2.folder, model_later=True)
    monkeypatch.setattr("cbdata.render.tokenizer.read_tokenizer", slowly)
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(later.read) for _ in range(2))
    assert first.result() is second.result()


def test_a_broken_vocabulary_is_told_whenever_it_is_asked_for(
    smollm2: Setup, tmp_path: Path
) -> None:
    shutil.copy(smollm2.folder / "tokenizer_config.json", tmp_path)
    data = json.loads((smollm2.folder / "tokenizer.json").read_text())
    data["model"]["merges"].append(["not", "in the vocabulary"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    later = load_tokenizer(tmp_path, model_later=True)
    for _ in range(2):
        with pytest.raises(Exception, match="out of vocabulary"):
            later.read()
