"""The page's policy holds for the page as it is."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts.errors import CommandError
from scripts.gateway import page


class Parts(HTMLParser):
    """What a policy is about: attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def directives(policy: str) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


def test_the_policy_allows_its_own_script_and_style_alone() -> None:
    found = page.page()
    allowed = directives(found.headers["content-security-policy"])
    parts = Parts(found.body.decode())
    for tag, (text,) in parts.texts.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"
    assert allowed["default-src"] == allowed["base-uri"] == allowed["frame-ancestors"] == "'none'"
    assert (found.open, found.content_type) == (True, "text/html; charset=utf-8")


def test_nothing_in_it_needs_more_than_the_policy_allows() -> None:
    text = page.FILE.read_text(encoding="utf-8")
    names = {name for name, _ in Parts(text).attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}
    linked = [value or "" for name, value in Parts(text).attributes if name in ("src", "href", "action")]
    assert all(value.startswith(("/", "#", "data:image/svg+xml,")) for value in linked), linked
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
    )
    assert not re.search(r"url\(|@import", text)


@pytest.mark.parametrize("text", ["<style></style>", "<style></style><script></script><script></script>"])
def test_what_has_no_one_script_and_style_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"page\.html: has [02] <script>"):
        page.headers(text)


def test_a_page_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FILE", tmp_path / "page.html")
    with pytest.raises(CommandError, match=r"page\.html: can't be read"):
        page.page()
