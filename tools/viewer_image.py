"""Draw docs/images/viewer.png: the viewer of the demo's report, twins side by side.

Needs the demo's output (`make demo`) and Chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "scratch/demo/data/report/index.html"
IMAGE = ROOT / "docs/images/viewer.png"
WINDOW = {"width": 1330, "height": 780}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]


def main() -> int:
    """Exit status 0: drawn; 1: something that it needs is not there."""
    chromium = shutil.which("chromium")
    if chromium is None or not PAGE.exists():
        print(f"chromium or {PAGE} is not there; the image is as it was", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=WINDOW, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.check("#unfold")
        page.select_option("#compare", "twin")
        # The first trace that has a twin; most of the demo's have none.
        for _ in range(page.evaluate("INDEX.traces.id.length")):
            page.wait_for_timeout(100)
            if page.is_visible("#beside"):
                break
            page.click("#next")
        page.locator("#record .t.commit").first.click()
        page.locator(".viewer").screenshot(path=IMAGE)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
