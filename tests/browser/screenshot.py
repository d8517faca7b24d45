"""The picture in the README, while `up` runs: `python -m tests.browser.screenshot URL docs/page.png`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from tests.browser.visiting import Visits, chromium

NAME, SAMPLE = "mobilenet_v2", "cat.jpg"


def screenshot(url: str, file: Path) -> None:
    """Its upper part, with the answer to a sample."""
    with chromium() as browser:
        visits = Visits(browser)
        try:
            page = visits(f"{url}/#/{NAME}", width=1200, height=870)
            expect(page.locator("#list .dot").first).to_be_visible()
            page.get_by_role("button", name=SAMPLE).click()
            expect(page.locator("#answer .bars")).to_be_visible()
            expect(page.locator("#strip .figure").nth(2)).to_contain_text("ms", timeout=15_000)
            page.wait_for_timeout(500)  # ms; the bars grow
            file.parent.mkdir(exist_ok=True)
            with Image.open(io.BytesIO(page.screenshot())) as taken:
                taken.convert("RGB").quantize(256).save(file, optimize=True)  # a third of the bytes
        finally:
            visits.end()


if __name__ == "__main__":
    screenshot(sys.argv[1].rstrip("/"), Path(sys.argv[2]))
