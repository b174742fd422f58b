"""Pages in a real browser: Chromium driven by Playwright, where both are installed."""

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

AT_ONCE = 9
"""Chromium drops the eleventh download of a page in a short time."""

INSIDE = """[...document.querySelectorAll('svg.cell')].some((svg) => {
  const [box, frame] = [svg.getBBox(), svg.viewBox.baseVal];
  return box.x < frame.x - 1 || box.y < frame.y - 1 ||
    box.x + box.width > frame.x + frame.width + 1 ||
    box.y + box.height > frame.y + frame.height + 1;
})"""

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def browser() -> Generator[Any]:
    """A browser; the test is skipped where there is none."""
    reason = "Playwright for Python is not installed (pip install playwright)"
    api: Any = pytest.importorskip("playwright.sync_api", reason=reason)
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser on PATH: {', '.join(NAMES)}")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Shown:
    """A page that is open. Its console and errors are noted; requests beside it fail the test."""

    def __init__(self, chromium: Any, file: Path, **settings: Any) -> None:
        settings = {"viewport": {"width": 1200, "height": 900}} | settings
        self.context = chromium.new_context(accept_downloads=True, offline=True, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.said: list[str] = []
        self.downloads = 0
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("svg.cell")

    def total(self, name: str) -> int:
        """The digits that the page shows."""
        return int(self.page.inner_text(f'[data-total="{name}"]').replace(",", ""))

    def totals(self) -> tuple[int, int]:
        """Parameters and multiply-adds."""
        return self.total("parameters"), self.total("multiply-adds")

    def formats(self) -> Iterator[tuple[str, bool]]:
        """The formats of the menu, and whether each can be downloaded."""
        for option in self.page.query_selector_all('[aria-label="format"] option'):
            yield option.get_attribute("value"), option.is_enabled()

    def download(self, name: str) -> str:
        """The text of the file that the button gives for a format."""
        self.downloads += 1
        if self.downloads % AT_ONCE == 0:
            self.page.wait_for_timeout(2000)
        self.page.select_option('[aria-label="format"]', name)
        with self.page.expect_download() as found:
            self.page.click("text=Download")
        return Path(found.value.path()).read_text(encoding="utf-8")

    def spot(self, place: str) -> Any:
        """The edge or node of that kind, node and slot: `normal/2/0`."""
        return self.page.locator(f'[data-spot="{place}"]')

    def click(self, place: str) -> None:
        """Clicks its label, for the middle of a bent edge is not on it."""
        self.spot(place).locator("rect").click()

    def close(self) -> None:
        """Closes the page; nothing was written to its console, and nothing is cut off."""
        cut = self.page.evaluate(INSIDE)
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        self.context.close()
        assert self.said == []
        assert not cut, "a drawing is larger than its frame"
        assert width <= 0, "the page is wider than its window"
