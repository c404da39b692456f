"""A trace on the terminal and in a pipe."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cbdata.lossmask.registry import load_registry
from cbdata.render.tokenizer import load_tokenizer
from cbdata.report.vocabulary import load_vocabulary
from cbdata.terminal.find import Shown, find
from cbdata.terminal.view import Look, token_texts, view
from tests.records import Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(pairs=1, validation_pairs=0).write(tmp_path)


def shown(corpus: Corpus) -> Shown:
    return find(corpus.folder, "1", None, None, load_registry())


def printed(corpus: Corpus, what: Shown, look: Look, *, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=4000,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    console.print(view(what, load_vocabulary(corpus.tokenizer), look))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_brackets_hold_exactly_the_tokens_with_loss(corpus: Corpus) -> None:
    what = shown(corpus)
    text = printed(corpus, what, Look(brackets=True))
    vocabulary = load_vocabulary(corpus.tokenizer)
    texts = token_texts(vocabulary, what.render["input_ids"])
    trained = "".join(piece for piece, weight in zip(texts, what.mask, strict=True) if weight)
    assert "".join(re.findall("⟪(.*?)⟫", text, re.DOTALL)) == trained != ""


def test_a_part_of_the_loss_is_written_before_the_tokens(corpus: Corpus) -> None:
    what = shown(corpus)
    for index, weight in enumerate(what.mask):
        what.mask[index] = weight * 0.25
    assert "⟪0.25:" in printed(corpus, what, Look(brackets=True))


def test_a_line_for_each_token(corpus: Corpus) -> None:
    what = shown(corpus)
    text = printed(corpus, what, Look(brackets=True, ids=True))
    rows = re.findall(r"^\s+(\d+)\s+(\d+)\s+([\d.]+)\s", text, re.MULTILINE)
    call = what.render["alignment"]["tool_call_spans"][0]
    name = re.search(rf"^\s+{call['name_token_start']}\s.*", text, re.MULTILINE)
    assert name and name[0].rstrip().endswith("call, name")
    owned = {
        position
        for span in what.render["alignment"]["message_spans"]
        for position in range(span["token_start"], span["token_end"])
    }
    assert [(int(at), int(token), float(weight)) for at, token, weight in rows] == [
        (at, what.render["input_ids"][at], what.mask[at]) for at in sorted(owned)
    ]


def test_colours_follow_weight(corpus: Corpus) -> None:
    what = shown(corpus)
    assert "\x1b[30;42m" in printed(corpus, what, Look(), colour=True)
    what.mask[:] = [0.0] * len(what.mask)
    assert "42m" not in printed(corpus, what, Look(), colour=True)


def test_nothing_in_a_trace_reaches_the_terminal_as_a_command(corpus: Corpus) -> None:
    what = shown(corpus)
    what.trace["labels"]["category"] = "[bold]x[/bold]\x1b]0;title\x07"
    text = printed(corpus, what, Look(brackets=True))
    assert "\x1b" not in text and "\x07" not in text
    assert "[bold]x[/bold]␛]0;title␇" in text


def test_marks_of_the_text_itself_are_no_loss(corpus: Corpus) -> None:
    what = shown(corpus)
    texts = load_vocabulary(corpus.tokenizer)
    first = what.render["input_ids"][3]
    texts.pieces[first] = "⟪forged⟫"
    console = Console(file=io.StringIO(), width=4000, highlight=False)
    what.mask[:] = [0.0] * len(what.mask)
    console.print(view(what, texts, Look(brackets=True)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "⟦U+27EA⟧forged⟦U+27EB⟧" in text and "⟪" not in text


def test_turns_say_what_stands_in_them(corpus: Corpus) -> None:
    what = shown(corpus)
    alignment = what.render["alignment"]
    turn, call = alignment["assistant_spans"][-1], alignment["tool_call_spans"][0]
    alignment["thinking_spans"] = [turn | {"token_end": turn["token_start"] + 2}]
    call["tool_name"] = "search\x1b[2J"
    text = printed(corpus, what, Look(brackets=True))
    injected = what.render["signals"]["injection_spans"][0]
    start, end = injected["token_start"], injected["token_end"] - 1
    user = what.render["alignment"]["message_spans"][1]
    size = user["token_end"] - user["token_start"]
    assert f"user · message 1 · 0 of {size} with loss · injection: tokens {start} to {end}" in text
    first = turn["token_start"]
    assert f"reasoning: tokens {first} to {first + 1}" in text
    calls = f"tokens {call['token_start']} to {call['token_end'] - 1}"
    assert f"call of search␛[2J: {calls}" in text and "\x1b" not in text


def test_characters_of_several_tokens_and_unknown_ids() -> None:
    class Bytes:
        def token_bytes(self, token: int) -> bytes | None:
            return None if token < 0 else bytes([token])

    euro = list("€".encode())
    assert token_texts(Bytes(), [65, *euro, 66]) == ["A", "", "", "€", "B"]  # type: ignore[arg-type]
    assert token_texts(Bytes(), [euro[0], -7]) == ["", "\ufffd<-7>"]  # type: ignore[arg-type]
    assert "".join(token_texts(Bytes(), [0xFF, 65, euro[0]])) == "\ufffdA\ufffd"  # type: ignore[arg-type]


def test_the_command_shows_twins_in_a_pipe(corpus: Corpus, repo: Path) -> None:
    ds, dr = corpus.traces
    for render in corpus.renders:
        render["tokenizer_sha256"] = load_tokenizer(corpus.tokenizer).sha256
    corpus.write(corpus.folder)
    command = [sys.executable, "workflow/scripts/show.py", "1", "--run", str(corpus.folder)]
    command += ["--tokenizer", str(corpus.tokenizer)]
    done = subprocess.run([*command, "--twin"], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index(f"trace: {ds['id']}") < done.stdout.index(f"trace: {dr['id']}")
    missing = subprocess.run([*command, "--data", "no"], cwd=repo, capture_output=True, text=True)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert (
        missing.stderr.startswith("--data no: no such data set") and "Trace" not in missing.stderr
    )
