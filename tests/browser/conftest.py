"""Headless Chromium, and pages of the report opened in it under watch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cbdata.lossmask.registry import load_registry
from cbdata.report.build import build_report
from cbdata.report.inputs import DataSet, ReportInputs, find_sweeps
from tests.records import Corpus

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE_S = 20.0


@dataclass
class Watched:
    """An open page, and everything that it did beyond showing itself."""

    page: Any
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def check_quiet(self) -> None:
        """Fail if anything but the page itself was asked for, a dialog opened, or the console
        complained.
        """
        assert self.requests == self.requests[:1] and self.requests[0].startswith("file://")
        assert self.dialogs == []
        assert self.messages == []

    def wait_for_record(self) -> None:
        """Wait until the open record is shown."""
        self.wait_until("STATE.shown === STATE.opened")

    def wait_until(self, expression: str) -> None:
        """Poll a condition; the page's own policy forbids the evaluation that Playwright's waiting
        needs.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {expression}"
            time.sleep(0.02)


Open = Callable[..., Watched]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("no chromium: apt-get install the packages of tests/browser/apt-packages.txt")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a file in a profile of its own."""
    contexts = []

    def call(path: Path, width: int = 1300, height: int = 900, scheme: str = "light") -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.on(
            "console", lambda message: watched.messages.append(f"{message.type}: {message.text}")
        )
        watched.page.on("pageerror", lambda error: watched.messages.append(f"error: {error}"))

        def dismiss(dialog: Any) -> None:
            watched.dialogs.append(dialog.message)
            dialog.dismiss()

        watched.page.on("dialog", dismiss)
        watched.page.goto(path.as_uri())
        watched.wait_for_record()
        return watched

    yield call
    for context in contexts:
        context.close()


def build(corpus: Corpus, folder: Path, rejects: tuple[Path, ...] = (), **options: Any) -> Path:
    """Write the rows of a corpus and the page over them."""
    corpus.write(folder)
    dataset = DataSet(
        "demo",
        corpus.trace_file,
        corpus.render_file,
        corpus.mask_file,
        find_sweeps(corpus.mask_file),
    )
    build_report(
        ReportInputs((dataset,), rejects=rejects, tokenizer=corpus.tokenizer),
        load_registry(),
        folder / "index.html",
        **options,
    )
    return folder / "index.html"
