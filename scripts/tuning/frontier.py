"""The frontier: settings and loads that no other beats in both items/s and p99."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from scripts.benchmarking.figures import Row
from scripts.benchmarking.table import number
from scripts.tuning.goal import Goal
from scripts.tuning.score import Measured
from scripts.tuning.search import Found
from scripts.tuning.setting import Setting


class Point(Struct, frozen=True):
    """One setting at one number of connections."""

    setting: Setting
    row: Row
    on_frontier: bool

    @property
    def rate(self) -> float:
        return self.row.rate.median

    @property
    def p99(self) -> float:
        """ms"""
        return self.row.p99.median


def points(measured: Sequence[Measured]) -> list[Point]:
    """Every one of them, the shortest p99 first; what had errors is on no frontier."""
    rows = [(one.setting, row) for one in measured for row in one.rows]
    rows.sort(key=lambda pair: (pair[1].p99.median, -pair[1].rate.median))
    found, highest = [], 0.0
    for setting, row in rows:
        ahead = not row.errors and row.rate.median > highest
        highest = max(highest, row.rate.median) if ahead else highest
        found.append(Point(setting, row, ahead))
    return found


HEADING = ("setting", "connections", "items/s", "p50 ms", "p99 ms", "errors", "")


def table(found: Found, goal: Goal) -> list[tuple[str, ...]]:
    """The frontier, and of the present and the proposed setting the best row and that of the fewest
    connections, where a lone request waits for a batch in vain; under their heading."""
    told = [
        row
        for one in found.measured
        if one.setting in (found.start, found.best)
        for row in (one.best(goal), min(one.rows, key=lambda row: row.connections))
    ]
    shown = [one for one in points(found.measured) if one.on_frontier or one.row in told]
    return [HEADING, *(_cells(one, found) for one in shown)]


def _cells(point: Point, found: Found) -> tuple[str, ...]:
    row = point.row
    roles = {found.best: "proposed", found.start: "present"}  # in this order: a tie is present
    marks = [roles.get(point.setting, ""), "frontier" if point.on_frontier else ""]
    return (
        str(point.setting),
        str(row.connections),
        number(point.rate),
        number(row.p50.median),
        number(point.p99),
        ", ".join(f"{count} {error}" for error, count in row.errors.items()) or "0",
        ", ".join(mark for mark in marks if mark),
    )
