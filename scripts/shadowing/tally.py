"""What was found so far: how many of each kind, and how far numbers lay apart."""

from __future__ import annotations

import statistics
import threading
from array import array
from typing import get_args

from msgspec import Struct

from scripts.shadowing.difference import Difference, Kind

MOST = 1_000_000
"""Differences of which the median is kept, for each kind: beyond them it has long settled."""


class Found(Struct, frozen=True):
    """Of all requests, or of those of one kind."""

    requests: int
    largest: float | None = None
    """Between two numbers at the same place of two answers; None where no two were compared."""
    median: float | None = None
    """Of the largest of each request."""


class Tally:
    """Filled by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
        self._apart: dict[Kind, array[float]] = {kind: array("d") for kind in get_args(Kind)}
        self._largest: dict[Kind, float] = {}

    def add(self, one: Difference) -> None:
        with self._lock:
            self._counts[one.kind] += 1
            if one.largest is None:
                return
            self._largest[one.kind] = max(one.largest, self._largest.get(one.kind, 0.0))
            if len(self._apart[one.kind]) < MOST:
                self._apart[one.kind].append(one.largest)

    def looked_at(self) -> int:
        return sum(self._counts.values())

    def count(self, kind: Kind) -> int:
        return self._counts[kind]

    def largest(self) -> float | None:
        """Of all requests."""
        return max(dict(self._largest).values(), default=None)

    def kinds(self) -> dict[Kind, Found]:
        """Each kind that there was."""
        with self._lock:
            return {
                kind: Found(count, self._largest.get(kind), _median(self._apart[kind]))
                for kind, count in self._counts.items()
                if count
            }

    def all(self) -> Found:
        with self._lock:
            apart: array[float] = array("d")
            for one in self._apart.values():
                apart.extend(one)
            return Found(sum(self._counts.values()), self.largest(), _median(apart))


def _median(apart: array[float]) -> float | None:
    return statistics.median(apart) if apart else None
