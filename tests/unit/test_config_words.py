"""``--config`` words: a text is what was typed, other values are YAML by the type of the key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.profiles import ProfileConfigFileParser

from cbdata.config import ConfigError, config_schema, resolve_config
from cbdata.config_words import read_words, typed_value

KEYS = config_schema()["properties"]
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
# What PyYAML takes for no character, JSON texts could only hold as escaped halves of one.
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cn", "Cs", "Zl", "Zp")))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.text(min_size=1))
def test_the_text_of_a_text_key_is_its_value(text: str) -> None:
    words = [f"ds_system_suffix={text}"]
    given_text = read_words(words)["ds_system_suffix"]
    assert typed_value(given_text, KEYS["ds_system_suffix"]) == given_text
    if not (text.startswith("'") and text.endswith("'")):
        assert given_text == text


@pytest.mark.parametrize(
    "text",
    [
        "say \"hi\" and 'bye'",
        '"quoted"',
        "'quoted'",
        "$HOME `id` $(id) \\n \\\\",
        "a # b",
        "two\nlines\n\n  and more",
        "key: value",
        "ünï → 漢字 🙂",
        "{not: yaml",
        " space at the ends ",
        "a=b=c",
        "1e3",
        "true",
        "null",
        "",
    ],
)
def test_awkward_texts_stay(text: str) -> None:
    config = resolve_config(read_words([f"ds_system_suffix={text}"]), environ={})
    assert config["ds_system_suffix"] == text


@given(st.dictionaries(TEXTS, VALUES, max_size=3))
def test_json_inside_braces_means_what_json_means(params: dict[str, Any]) -> None:
    value = {"policy": "x", "params": params}
    text = json.dumps(value, ensure_ascii=False)
    assert typed_value(text, {"type": ["string", "object", "null"]}) == value


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("split", "{train: 0.9, eval: 0.1}", {"train": 0.9, "eval": 0.1}),
        ("split", "{on: 0.5, 2024-01-01: 0.5}", {"on": 0.5, "2024-01-01": 0.5}),
        ("split", "test", "test"),
        (
            "policy",
            "{policy: recency_weighted, params: {half_life: 2, floor: 1e-3, role: no, at: 12:30}}",
            {
                "policy": "recency_weighted",
                "params": {"half_life": 2, "floor": 0.001, "role": "no", "at": "12:30"},
            },
        ),
        ("max_length", "1e3", 1000),
        ("max_length", "1000.0", 1000),
        ("max_length", " 1000 ", 1000),
        ("temperature_ds", "1e-3", 0.001),
        ("temperature_ds", "1", 1),
        ("force_llama", "true", True),
        ("force_llama", "True", True),
        ("limit", "null", None),
        ("limit", "", None),
        ("policy", "None", None),
        ("agentdojo_path", "[a.jsonl, 'b c.jsonl']", ["a.jsonl", "b c.jsonl"]),
        ("input_traces", "a, ./b.jsonl", "a, ./b.jsonl"),
        ("chat_template_kwargs", "{enable_thinking: false}", {"enable_thinking": False}),
        ("model", "null", "null"),
    ],
)
def test_other_values_are_read_by_the_type_of_the_key(key: str, text: str, value: object) -> None:
    read = typed_value(text, KEYS[key])
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("split={train: 0.9, eval 0.1}", "train"),
        ("split={train: 0.9, eval: 0.1", "cannot be read"),
        ("split={train: 0.5, train: 0.5}", "'train' occurs twice"),
        ("agentdojo_path=[a, b", "cannot be read"),
        ("max_length=1.5", "integer"),
        ("max_length=1_000", "integer"),
        ("max_length=", "integer"),
        ("force_llama=yes", "boolean"),
        ("temperature_ds=1e999", "no finite number"),
        ("temperature_ds=nan", "number"),
        ("run_config=abc", "unknown key"),
    ],
)
def test_what_is_not_whole_is_refused(word: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        resolve_config(read_words([word]), environ={})


def test_numbers_that_are_not_finite_are_refused_at_any_depth() -> None:
    with pytest.raises(ConfigError, match="no finite number"):
        resolve_config({"chat_template_kwargs": {"a": [float("nan")]}}, environ={})


def test_a_later_word_of_a_key_wins() -> None:
    assert read_words(["mode=ds", "model=a=b", "mode=dr"]) == {"mode": "dr", "model": "a=b"}


def test_words_of_a_profile(tmp_path) -> None:
    """What Snakemake makes of a profile's ``config:`` mapping means what the mapping says."""
    profile = tmp_path / "config.yaml"
    profile.write_text(
        "config:\n  model_revision: '123'\n  max_length: 512\n  split: {train: 0.9, eval: 0.1}\n"
        "  force_llama: true\n  ds_system_suffix: 'a # b'\n  agentdojo_path: [a, b]\n"
    )
    with profile.open() as stream:
        words = ProfileConfigFileParser().parse(stream)["config"]
    config = resolve_config(read_words(words), environ={})
    assert {key: config[key] for key in read_words(words)} == {
        "model_revision": "123",
        "max_length": 512,
        "split": {"train": 0.9, "eval": 0.1},
        "force_llama": True,
        "ds_system_suffix": "a # b",
        "agentdojo_path": ["a", "b"],
    }
