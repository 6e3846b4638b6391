"""A page as its reader has it: a window of Chromium, and all that the page said and asked for."""

import csv
import io
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page


class Opened:
    """The page in a window of its own, and all that it said and asked for."""

    def __init__(self, browser: Browser, file: Path, query: str = "", **context: Any) -> None:
        self.page: Page = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context}).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri() + query)
        self.page.wait_for_selector("html[data-ready=yes]")
        self.settle()

    def settle(self) -> None:
        """Waits until every chart that has rows is drawn."""
        self.page.wait_for_timeout(400)
        self.page.wait_for_function(
            "[...document.querySelectorAll('.chart')].every(c => c.hidden || !c.role || c.querySelector('svg'))"
        )

    def choose(self, **filters: str) -> None:
        for name, option in filters.items():
            self.page.select_option(f"#{name}", label=option)
        self.settle()

    def headline(self, name: str) -> str:
        return str(self.page.get_attribute(f"[data-figure='{name}'] .figure", "data-value"))

    def column(self, panel: str, heading: str) -> list[str]:
        """What a table shows below a heading, row by row."""
        cells = f"{panel} td[data-heading='{heading}']"
        return [text.strip() for text in self.page.locator(cells).all_inner_texts()]

    def downloaded(self, panel: str) -> list[dict[str, str]]:
        with self.page.expect_download() as download:
            self.page.click(f"{panel} .csv")
        content = Path(download.value.path()).read_text(encoding="utf-8-sig")
        return list(csv.DictReader(io.StringIO(content)))
