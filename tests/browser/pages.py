"""Pages of the report: how they are built, and what a test sees of an open one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbdata.lossmask.registry import load_registry
from cbdata.report.build import build_report
from cbdata.report.inputs import ReportInputs
from tests.records import Corpus

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
        """Wait until no search runs and the open record is shown."""
        self.wait_until("STATE.searching === 0 && STATE.shown === STATE.opened")

    def wait_until(self, expression: str) -> None:
        """Poll a condition; the page's own policy forbids the evaluation that Playwright's waiting
        needs.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {expression}"
            time.sleep(0.02)


Open = Callable[..., Watched]


def build(corpus: Corpus, folder: Path, rejects: tuple[Path, ...] = (), **options: Any) -> Path:
    """Write the rows of a corpus and the page over them."""
    corpus.write(folder)
    build_report(
        ReportInputs(
            (corpus.dataset(),),
            skeletons=(corpus.skeleton_file,),
            rejects=rejects,
            tokenizer=corpus.tokenizer,
        ),
        load_registry(),
        folder / "index.html",
        **options,
    )
    return folder / "index.html"
