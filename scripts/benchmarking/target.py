"""Where a request goes, and what it brings."""

from __future__ import annotations

import mimetypes

from msgspec import Struct


class Target(Struct, frozen=True):
    """One URL, asked with the bytes of one file again and again."""

    url: str
    file: str
    """Its path: text, because a Target travels to the client as JSON."""
    items: int = 1
    """That each request lists."""

    @property
    def content_type(self) -> str:
        return mimetypes.guess_type(self.file)[0] or "application/octet-stream"


class Load(Struct, frozen=True):
    """How the client is to ask: what `scripts.benchmarking.client` reads."""

    target: Target
    connections: int
    seconds: float
    """That count, after the warm-up."""
    warm_up: float = 1.0  # s
    timeout: float = 30.0  # s, of one request
