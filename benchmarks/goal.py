"""What was asked for, as a figure of one part's result beside its bound."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from scripts.benchmarking.cold_start import ColdStart
from scripts.benchmarking.footprint import Footprint
from scripts.benchmarking.result import BARE, Result

FLASK, STOCK, FASTAPI = "Flask", "stock handler", "FastAPI"

MOST_MEMORY = 1.3  # files of weights
MOST_START = 1.0  # of the stock handler's time
ALONE_P50, ALONE_P99 = 1.5, 4.0  # ms beyond the bare loop


class Goal(Struct, frozen=True):
    """One line of the table."""

    what: str
    measured: float
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def of_pictures(result: Result, flask: float, bare: float, *, stock: float | None = None) -> Iterator[Goal]:
    """A network of pictures: 32 connections in times of each contestant, and p99 at 8."""
    bounds = {FLASK: flask, STOCK: stock, BARE: bare}
    for other, bound in bounds.items():
        if bound is not None:
            yield Goal(f"32 connections, times {other}", result.ratios()[other][32], bound)
    ours, theirs = result.row(result.ours, 8), result.row(FLASK, 8)
    if ours is not None and theirs is not None:
        yield Goal("8 connections, p99 in Flask's", ours.p99 / theirs.p99, 1.0, at_least=False)


def of_numbers(result: Result) -> Iterator[Goal]:
    """A small network of numbers: the server is the cost."""
    for connections in (16, 64):
        yield Goal(f"{connections} connections, times FastAPI", result.ratios()[FASTAPI][connections], 1.0)


def of_one_connection(result: Result) -> Iterator[Goal]:
    beyond = result.beyond_bare()
    if beyond is not None:
        yield Goal("1 connection, p50 beyond the bare loop, ms", beyond[0], ALONE_P50, at_least=False)
        yield Goal("1 connection, p99 beyond the bare loop, ms", beyond[1], ALONE_P99, at_least=False)


def of_memory(found: Footprint) -> Iterator[Goal]:
    what = f"{found.workers} workers less idle ones, in weights"
    yield Goal(what, found.ratio, MOST_MEMORY, at_least=False)


def of_cold_start(found: ColdStart) -> Iterator[Goal]:
    yield Goal("register to READY, times the stock handler's", found.ratio, MOST_START, at_least=False)
