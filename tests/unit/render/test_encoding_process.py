"""A process that encodes: the same ids in the same order, also when it is killed, and it outlives
nobody.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from cbdata.rejects import Reject
from cbdata.render.encoding_process import EncodingProcess
from cbdata.render.text_encoder import Ids, TextEncoder
from cbdata.render.tokenizer import load_tokenizer
from tests.unit.render.setups import Setup

WAIT = 60
TEXTS = [f"{number} text \u00e9 " * 50 for number in range(300)]
"""More than the buffer of a line between processes holds."""


def begin_each(process: EncodingProcess) -> list[Future[list[Ids]]]:
    return [process.begin([text, f"{text}!"]) for text in TEXTS]


def test_the_same_ids_in_order_whatever_is_begun_meanwhile(smollm2: Setup) -> None:
    tokenizer = load_tokenizer(smollm2.folder, model_later=True)
    process, here = EncodingProcess(tokenizer), TextEncoder(tokenizer)
    begun = begin_each(process)
    found = [future.result(WAIT) for future in begun]
    assert found == [here.encode([text, f"{text}!"]) for text in TEXTS]


def test_what_is_begun_after_it_was_killed_is_encoded_here(
    smollm2: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = load_tokenizer(smollm2.folder, model_later=True)
    process = EncodingProcess(tokenizer)
    first = begin_each(process)
    assert process.process.pid is not None
    os.kill(process.process.pid, signal.SIGKILL)
    process.process.join(WAIT)
    found = [future.result(WAIT) for future in first + begin_each(process)]
    here = [TextEncoder(tokenizer).encode([text, f"{text}!"]) for text in TEXTS]
    assert found == here + here
    (message,) = caplog.messages
    assert message == "the process that encodes text is gone; its work is done here"


def test_a_refused_text_is_refused_and_the_next_one_is_not(smollm2: Setup, tmp_path: Path) -> None:
    """A vocabulary without some of the bytes cannot spell every text."""
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(smollm2.folder / name, tmp_path / name)
    data = json.loads((smollm2.folder / "tokenizer.json").read_text())
    # Only what the letters a to z are made of.
    kept = {text: token for text, token in data["model"]["vocab"].items() if len(text) == 1}
    kept = {text: token for text, token in kept.items() if text in "abcdefghijklmnopqrstuvwxyz"}
    data["model"] |= {
        "vocab": {text: number for number, text in enumerate(kept)},
        "merges": [],
    }
    data["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    process = EncodingProcess(load_tokenizer(tmp_path, model_later=True))
    first, wrong, last = (process.begin([text]) for text in ("ab", "a\u00e9", "cd"))
    assert first.result(WAIT)[0].json.count(b",") == 1
    with pytest.raises(Reject, match="tokens_do_not_spell_text"):
        wrong.result(WAIT)
    assert last.result(WAIT)[0].json.count(b",") == 1


def test_a_broken_vocabulary_is_told_by_the_library(smollm2: Setup, tmp_path: Path) -> None:
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(smollm2.folder / name, tmp_path / name)
    data = json.loads((smollm2.folder / "tokenizer.json").read_text())
    data["model"]["merges"].append(["not", "in the vocabulary"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    process = EncodingProcess(load_tokenizer(tmp_path, model_later=True))
    with pytest.raises(Exception, match="out of vocabulary"):
        process.begin(["a"]).result(WAIT)


KILLED = """
import os, signal, sys
from pathlib import Path
from cbdata.render.encoding_process import EncodingProcess
from cbdata.render.tokenizer import load_tokenizer
process = EncodingProcess(load_tokenizer(Path(sys.argv[1]), model_later=True))
process.begin(["a"]).result()
print(process.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_the_one_that_started_it(smollm2: Setup, repo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(smollm2.folder)],
        env={**os.environ, "PYTHONPATH": str(repo / "workflow/scripts")},
        stdout=subprocess.PIPE,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + WAIT
    while psutil.pid_exists(int(done.stdout)):
        if psutil.Process(int(done.stdout)).status() == psutil.STATUS_ZOMBIE:
            break
        assert time.monotonic() < end
        time.sleep(0.05)
