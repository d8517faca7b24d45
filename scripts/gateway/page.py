"""The page at GET /, with a policy under which a browser runs its own script and style, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

from scripts.errors import CommandError
from scripts.gateway.routing import Page
from scripts.places import ROOT

FILE = ROOT / "gateway" / "page.html"

POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a script that somebody smuggles in could do: nothing, nor could it tell anyone. `blob:` is the
picture that the visitor sends, shown beside its answer."""


def page() -> Page:
    """As it stands in the file; raises CommandError when that isn't there whole."""
    try:
        text = FILE.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{FILE}: can't be read ({error}); bring it back from the repository") from None
    return Page("text/html; charset=utf-8", text.encode(), open=True, headers=headers(text))


def headers(text: str) -> Mapping[str, str]:
    """The policy for this text, and that a new one is noticed at the next visit."""
    policy = POLICY.format(script=_source(text, "script"), style=_source(text, "style"))
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }


def _source(text: str, tag: str) -> str:
    """The hash of the one element (https://www.w3.org/TR/CSP3/#match-element-to-source-list)."""
    found: list[str] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    if len(found) != 1:
        raise CommandError(f"{FILE}: has {len(found)} <{tag}> without attributes; must have one")
    return "sha256-" + base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
