"""What a render job begins before the rest of the program is imported."""

from __future__ import annotations

from typing import NamedTuple

from cbdata.render.encoding_process import EncodingProcess
from cbdata.render.locate import locate_tokenizer
from cbdata.render.settings import RenderSettings
from cbdata.render.text_encoder import Encoding, ThreadEncoder
from cbdata.render.tokenizer import PlainTokenizer, load_tokenizer

WORTH_IT = 4 << 20
"""Bytes of traces from which on a process of its own saves more than it costs: about a second of
work."""


class Ahead(NamedTuple):
    """A tokenizer, and what encodes with it while conversations are rendered."""

    tokenizer: PlainTokenizer
    encoding: Encoding


def begin(settings: RenderSettings, *, apart: bool) -> Ahead:
    """Load a tokenizer, and make what encodes with it beside the caller.

    Args:
        settings: What decides the tokenizer.
        apart: Whether that is a process, which reads the vocabulary meanwhile, in place of a
            thread. To be called before there are threads then.

    Raises:
        TokenizerError: It cannot be used.
    """
    folder, _ = locate_tokenizer(settings.tokenizer, settings.cache_dir, settings.revision)
    tokenizer = load_tokenizer(folder, model_later=apart)
    return Ahead(tokenizer, EncodingProcess(tokenizer) if apart else ThreadEncoder(tokenizer))
