"""One benchmark as it was: who did how, on which machine, with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from handlers.runtimes.decision import Decision
from scripts.benchmarking.figures import Row

BARE = "bare loop"


class Machine(Struct, frozen=True):
    """Where it ran."""

    processor: str
    cores: int
    memory: int  # bytes
    system: str
    versions: Mapping[str, str]
    """Of the packages that matter."""
    load: float
    """The system's load average of a minute, just before."""


class Memory(Struct, frozen=True):
    """PSS in bytes, under load before."""

    tree: int
    """Of all processes of a contestant."""
    workers: int = 0
    """Of the model's workers among them."""


class Result(Struct, frozen=True):
    """All that the table, the report and `--json` are made of."""

    name: str
    version: str
    input: str
    items: int
    """Of one request."""
    runtime: str
    settings: Mapping[str, str]
    machine: Machine
    contestants: Mapping[str, str]
    """Each name, the endpoint's first, with what it is."""
    rows: Sequence[Row]
    memory: Mapping[str, Memory]
    idle: Mapping[str, float]
    """Share of a core that each took while nobody was asked."""
    up_seconds: float | None = None
    """From starting `up` to READY."""
    seconds: float = 0.0  # of each round
    decision: Decision | None = None
    """What was tried as its runtime, as it stands beside the recipe."""

    def row(self, contestant: str, connections: int) -> Row | None:
        return next(
            (one for one in self.rows if (one.contestant, one.connections) == (contestant, connections)), None
        )

    @property
    def connections(self) -> list[int]:
        return sorted({row.connections for row in self.rows})

    @property
    def ours(self) -> str:
        """The endpoint's name among the contestants."""
        return next(iter(self.contestants))

    def ratios(self) -> dict[str, dict[int, float]]:
        """Items/s of the endpoint beside each other contestant's, by connections."""
        found: dict[str, dict[int, float]] = {}
        for other in list(self.contestants)[1:]:
            for count in self.connections:
                ours, theirs = self.row(self.ours, count), self.row(other, count)
                if ours is not None and theirs is not None:
                    found.setdefault(other, {})[count] = ours.rate / theirs.rate
        return found

    def beyond_bare(self) -> tuple[float, float] | None:
        """ms that one connection waits longer than the bare loop takes, at p50 and p99."""
        ours, bare = self.row(self.ours, 1), self.row(BARE, 1)
        if ours is None or bare is None:
            return None
        return ours.p50.median - bare.p50.median, ours.p99.median - bare.p99.median
