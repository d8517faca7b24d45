"""Headless Chromium, and a visit to a page in it that notes whatever the browser complains of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

STATUS = "Failed to load resource: the server responded with a status of"
UNREACHED = "Failed to load resource: net::"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's own; skips where it isn't installed."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Debian's chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Visits:
    """Pages of one test, each in a context of its own: no visit knows of another's keys."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        """Errors of scripts, and what the page's policy refused; not the statuses, which are asked for."""

    def __call__(self, url: str, *, width: int = 1280, height: int = 800, **more: Any) -> Page:
        context = self._browser.new_context(viewport={"width": width, "height": height}, **more)
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(url)
        return page

    def end(self) -> None:
        for context in self._contexts:
            context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith((STATUS, UNREACHED)):
            self.complaints.append(message.text)
