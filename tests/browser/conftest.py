"""Headless Chromium, and pages of the report opened in it under watch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import Open, Watched

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


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

    def call(
        path: Path, width: int = 1300, height: int = 900, scheme: str = "light", link: str = ""
    ) -> Watched:
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
        watched.page.goto(path.as_uri() + link)
        watched.wait_for_record()
        return watched

    yield call
    for context in contexts:
        context.close()
