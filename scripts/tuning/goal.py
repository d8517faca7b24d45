"""What tuning is after: the most items per second, within a limit of latency where one is given."""

from __future__ import annotations

import re

from msgspec import Struct

from scripts.errors import CommandError

UNITS = {"ms": 1.0, "s": 1000.0}


class Goal(Struct, frozen=True):
    """Throughput; with a limit, of what keeps it."""

    limit: float | None = None
    """ms that the 99th percentile may take."""

    def __str__(self) -> str:
        return "items/s" if self.limit is None else f"items/s with p99 at most {self.limit:g} ms"


def of(latency: str | None) -> Goal:
    """ "50ms", "0.05s"; raises CommandError."""
    if latency is None:
        return Goal()
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s)\s*", latency)
    limit = float(found[1]) * UNITS[found[2]] if found is not None else 0.0
    if limit <= 0:
        raise CommandError(f"--latency is {latency!r}", hint="give a time above 0 with its unit: 50ms, 0.05s")
    return Goal(limit)
