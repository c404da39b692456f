"""Ids of plain text in both forms, in whatever thread, and the tokens that are refused."""

from __future__ import annotations

from array import array
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import orjson
import pytest

from cbdata.rejects import Reject
from cbdata.render.text_encoder import Encoding, TextEncoder, ThreadEncoder
from tests.unit.render.setups import Setup

TEXTS = ["a b", "", "caf\u00e9 \U0001f600\n", "x" * 999]


@pytest.mark.parametrize("kind", [TextEncoder, ThreadEncoder])
def test_both_forms_are_the_ids(smollm2: Setup, kind: type[TextEncoder | ThreadEncoder]) -> None:
    tokenizer = smollm2.renderer().tokenizer
    encoding: Encoding = kind(tokenizer)
    for text, ids in zip(TEXTS, encoding.begin(TEXTS).result(), strict=True):
        expected = tokenizer.model.encode(text, add_special_tokens=False).ids
        assert array("I", ids.packed).tolist() == expected
        assert orjson.loads(b"[" + ids.json + b"]") == expected


def test_tokens_that_spell_something_else_are_refused(smollm2: Setup) -> None:
    tokenizer = smollm2.renderer().tokenizer
    right = tokenizer.model.encode("a b", add_special_tokens=False).ids
    control = next(iter(tokenizer.control.values())).id
    for ids, reason in (
        (right[:-1], "tokens_do_not_spell_text"),
        ([*right, control], "control_token_from_text"),
    ):
        model = MagicMock(wraps=tokenizer.model)
        model.encode_batch_fast.side_effect = lambda *_, ids=ids, **__: [SimpleNamespace(ids=ids)]
        encoder = TextEncoder(replace(tokenizer, read=lambda model=model: model))
        with pytest.raises(Reject, match=reason):
            encoder.encode(["a b"])
        with pytest.raises(Reject, match=reason):
            encoder.begin(["a b"]).result()
