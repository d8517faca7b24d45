"""Finding: one line of `check`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True):
    """What was looked at and how it is. fail: `archive` would refuse it; warn: it serves, but look."""

    what: str
    """The thing checked, in a few words: "weights load strictly", "samples"."""
    verdict: Literal["pass", "warn", "fail", "skip"]
    detail: str = ""
    """What was seen: a number, a name, or what is wrong."""
    remedy: str = ""
    """What to change, unless it passed."""
