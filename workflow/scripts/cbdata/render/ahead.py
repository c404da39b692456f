"""A tokenizer loaded while the rest of the program is imported: that takes a third of a second, in
which the tokenizers library does not hold Python's lock.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cbdata.render.settings import RenderSettings
    from cbdata.render.tokenizer import PlainTokenizer

_begun: list[threading.Thread] = []
_loaded: dict[Path, PlainTokenizer] = {}


def load_ahead(settings: RenderSettings) -> None:
    """Begin to load the tokenizer of the settings in a thread. An error in it is nobody's yet: who
    wants the tokenizer meets it again.
    """
    thread = threading.Thread(target=_load, args=(settings,), daemon=True)
    _begun.append(thread)
    thread.start()


def loaded_ahead(folder: Path) -> PlainTokenizer | None:
    """The tokenizer of a folder, once, if it was loaded ahead; waits until that is done."""
    while _begun:
        _begun.pop().join()
    return _loaded.pop(folder, None)


def _load(settings: RenderSettings) -> None:
    from cbdata.render.locate import locate_tokenizer
    from cbdata.render.tokenizer import load_tokenizer

    with contextlib.suppress(Exception):
        folder, _ = locate_tokenizer(settings.tokenizer, settings.cache_dir, settings.revision)
        _loaded[folder] = load_tokenizer(folder)
