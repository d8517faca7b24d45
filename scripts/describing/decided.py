"""What was decided on a model's runtime, by decision.json in its archive: what of it is shown.

handlers/runtimes/decision.py reads the whole, and needs torch.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from handlers.recipe import Precision
from scripts.optimising.standing import PLACE

__all__ = ["PLACE", "Candidate", "Decided", "Parity", "Tried", "read"]


class Candidate(Struct, frozen=True):
    """A way to execute the network; as text what a worker says that it opened."""

    runtime: str
    precision: Precision = "float32"
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        lower = [self.precision] if self.precision != "float32" else []
        return " ".join([self.runtime, *self.options, *lower])


EAGER = Candidate("eager")


class Tried(Struct, frozen=True):
    """How one did."""

    candidate: Candidate
    error: float | None = None
    agreement: float | None = None
    ms_one: float | None = None
    ms_full: float | None = None


class Parity(Struct, frozen=True):
    """How close what executes came to PyTorch's own eager float32, and how fast both were, as measured."""

    error: float | None
    """The largest absolute difference of raw outputs."""
    agreement: float | None
    """Share of inputs with the same best class."""
    ms_one: float | None
    """Median ms of a batch of one."""
    ms_full: float | None
    """Median ms of a full batch."""
    eager_ms_one: float | None
    eager_ms_full: float | None


class Decided(Struct, frozen=True):
    """The table of what was tried, and what was kept."""

    chosen: Candidate
    tried: tuple[Tried, ...] = ()

    def parity(self, executes: str) -> Parity | None:
        """Of what a worker says that it opened; None for the reference itself, and for what wasn't tried."""
        rows = {str(row.candidate): row for row in self.tried}
        row, eager = rows.get(executes), rows.get(str(EAGER))
        if row is None or row is eager:
            return None
        return Parity(
            row.error,
            row.agreement,
            row.ms_one,
            row.ms_full,
            eager.ms_one if eager is not None else None,
            eager.ms_full if eager is not None else None,
        )


def read(content: bytes) -> Decided | None:
    """None for what can't be read: a worker doesn't follow it either."""
    try:
        return msgspec.json.decode(content, type=Decided)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
