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
import weakref
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from tokenizers import Tokenizer

from cbdata.rejects import Reject
from cbdata.render.encoding_process import EncodingProcess
from cbdata.render.text_encoder import Ids, TextEncoder
from cbdata.render.tokenizer import load_tokenizer
from tests.ended_processes import ended
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


class Panic(BaseException):
    """What a library written in Rust raises where it gives up: no Exception."""


def panic() -> Tokenizer:
    raise Panic


def test_whatever_fails_reaches_who_asked(
    smollm2: Setup, capfd: pytest.CaptureFixture[str]
) -> None:
    process = EncodingProcess(replace(load_tokenizer(smollm2.folder), read=panic))
    for _ in range(2):
        with pytest.raises(Panic):
            process.begin(["a"]).result(WAIT)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("way", ["send", "recv"])
def test_a_line_that_fails_is_given_up(
    smollm2: Setup, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As where a long text does not fit into what is left of the memory."""
    tokenizer = load_tokenizer(smollm2.folder)
    process = EncodingProcess(tokenizer)
    assert process.begin(["a"]).result(WAIT)
    monkeypatch.setattr(Connection, way, MagicMock(side_effect=MemoryError))
    begun = begin_each(process)
    here = TextEncoder(tokenizer)
    assert [future.result(WAIT) for future in begun] == [
        here.encode([text, f"{text}!"]) for text in TEXTS
    ]
    process.process.join(WAIT)
    assert process.process.exitcode is not None


class Texts(list[str]):
    """A list that can be watched."""


def test_nothing_is_kept_of_what_was_encoded(smollm2: Setup) -> None:
    process = EncodingProcess(load_tokenizer(smollm2.folder))
    watched = []
    for number in range(6):
        if number == 3:
            process.process.kill()
            process.process.join(WAIT)
        texts = Texts(["a"])
        watched.append(weakref.ref(texts))
        process.begin(texts).result(WAIT)
        del texts
    # Each of two threads may hold the last ones until it gets the next.
    end = time.monotonic() + WAIT
    while any(texts() is not None for texts in watched[:-1]):
        assert time.monotonic() < end
        time.sleep(0.01)


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


def run_program(source: str, folder: Path, repo: Path) -> subprocess.CompletedProcess[str]:
    """A program run to its end, with a tokenizer's folder as its argument."""
    return subprocess.run(
        [sys.executable, "-c", source, str(folder)],
        env={**os.environ, "PYTHONPATH": str(repo / "workflow/scripts")},
        capture_output=True,
        text=True,
        timeout=WAIT,
    )


def test_it_ends_with_the_one_that_started_it(smollm2: Setup, repo: Path) -> None:
    done = run_program(KILLED, smollm2.folder, repo)
    assert done.returncode == -signal.SIGKILL
    assert ended(int(done.stdout), WAIT)


FAILED = """
import sys
from pathlib import Path
from cbdata.logs import configure_logging
from cbdata.render.encoding_process import EncodingProcess
from cbdata.render.tokenizer import load_tokenizer
configure_logging(None)
process = EncodingProcess(load_tokenizer(Path(sys.argv[1]), model_later=True))
process.begin(["a"]).result()
for number in range(20):
    process.begin([f"{number} text " * 100_000])
raise RuntimeError("the end of it")
"""


def test_the_reason_is_the_last_word_of_a_job_that_fails(smollm2: Setup, repo: Path) -> None:
    done = run_program(FAILED, smollm2.folder, repo)
    assert done.returncode == 1
    *_, reason, end = done.stderr.splitlines()
    assert reason.endswith("RuntimeError: the end of it")
    assert end.endswith("the job failed")
