"""One round of load in figures, and the medians of several rounds with their spread."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct, field


class Round(Struct, frozen=True):
    """What came back within one round's seconds."""

    seconds: float
    items: int
    """Answered well: of a request that lists several, each counts."""
    p50: float  # ms, from sending a request to the end of its answer
    p95: float
    p99: float
    errors: Mapping[str, int] = field(default_factory=dict)
    """Requests without a good answer, by their status or the client's error."""
    client: float = 0.0
    """Share of one core that the client itself took."""

    @property
    def rate(self) -> float:
        """Items/s."""
        return self.items / self.seconds


class Spread(Struct, frozen=True):
    """The median of several rounds, and the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    def __truediv__(self, other: Spread) -> float:
        """The ratio of the medians; infinite beside nothing."""
        return self.median / other.median if other.median else float("inf")


class Row(Struct, frozen=True):
    """How one contestant did at one number of connections."""

    contestant: str
    connections: int
    rounds: tuple[Round, ...]

    @property
    def rate(self) -> Spread:
        return spread([one.rate for one in self.rounds])

    @property
    def p50(self) -> Spread:
        return spread([one.p50 for one in self.rounds])

    @property
    def p95(self) -> Spread:
        return spread([one.p95 for one in self.rounds])

    @property
    def p99(self) -> Spread:
        return spread([one.p99 for one in self.rounds])

    @property
    def client(self) -> Spread:
        return spread([one.client for one in self.rounds])

    @property
    def errors(self) -> Counter[str]:
        """Of all rounds."""
        return sum((Counter(one.errors) for one in self.rounds), Counter())


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))
