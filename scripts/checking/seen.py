"""What the clean interpreter tells, a line of JSON each: steps, their findings, and last that it is done."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from scripts.checking.finding import Finding


class Began(Struct, frozen=True, tag="began"):
    """A step is under way: what ends the interpreter now, ended it there."""

    what: str
    limit: int
    """s; whoever takes longer is ended."""
    advice: bool = False
    """Whether the step can only warn."""


class Found(Struct, frozen=True, tag="found"):
    """A finding, and the traceback behind one that has a cause for the log."""

    finding: Finding
    traceback: str = ""


class Ended(Struct, frozen=True, tag="ended"):
    """No more comes: which answers were recorded in the staged folder, for samples that had none."""

    recorded: list[str]


Seen: TypeAlias = Began | Found | Ended
