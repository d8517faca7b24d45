"""What the clean interpreter tells, a line of JSON each: what is under way, what is out, the decision."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from handlers.runtimes.decision import Candidate, Decision, Tried


class Began(Struct, frozen=True, tag="began"):
    """A candidate is under way, or the reference: what ends the interpreter now, ended it there."""

    candidate: Candidate | None
    limit: float
    """s; whoever takes longer is ended."""


class Dropped(Struct, frozen=True, tag="dropped"):
    """A candidate that is out: it failed, or its answers differ."""

    row: Tried


class Refused(Struct, frozen=True, tag="refused"):
    """The model can't be measured at all."""

    message: str
    hint: str = ""


class Decided(Struct, frozen=True, tag="decided"):
    """No more comes."""

    decision: Decision


Seen: TypeAlias = Began | Dropped | Refused | Decided
