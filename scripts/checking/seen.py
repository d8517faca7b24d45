"""What the clean interpreter tells, a line of JSON each: findings as they come, and last that it is done."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from scripts.checking.finding import Finding


class Found(Struct, frozen=True, tag="found"):
    """A finding, and the traceback behind one that has a cause for the log."""

    finding: Finding
    traceback: str = ""


class Ended(Struct, frozen=True, tag="ended"):
    """No more comes: which answers were recorded in the staged folder, for samples that had none."""

    recorded: list[str]


Seen: TypeAlias = Found | Ended
