"""How a setting did under load, and which of two did clearly better."""

from __future__ import annotations

from msgspec import Struct

from scripts.benchmarking.figures import Row
from scripts.tuning.goal import Goal
from scripts.tuning.setting import Setting

CLEAR = 1.05
"""So many times the items/s of the present setting are a win; two rounds of one setting differ by less."""


class Measured(Struct, frozen=True):
    """All rounds of one setting, a row for each number of connections."""

    setting: Setting
    rows: tuple[Row, ...]

    def best(self, goal: Goal) -> Row | None:
        """The row with the most items/s of those that keep the limit and had no errors."""
        good = [row for row in self.rows if not row.errors and keeps(row, goal)]
        return max(good, key=lambda row: row.rate.median, default=None)

    def rate(self, goal: Goal) -> float:
        """Items/s of the best row; 0 without one."""
        row = self.best(goal)
        return 0.0 if row is None else row.rate.median

    @property
    def shortest(self) -> float:
        """ms: the lowest p99 of all rows without errors."""
        return min((row.p99.median for row in self.rows if not row.errors), default=float("inf"))


def keeps(row: Row, goal: Goal) -> bool:
    """Whether its p99 is within the limit, if there is one."""
    return goal.limit is None or row.p99.median <= goal.limit


def merit(one: Measured, goal: Goal) -> tuple[float, float]:
    """Larger is better: items/s, and where nothing keeps the limit, how near it comes."""
    return one.rate(goal), -one.shortest


def beats(challenger: Measured, incumbent: Measured, goal: Goal) -> bool:
    """Whether it is clearly better, in the median and in every round; a tie leaves the incumbent."""
    new, old = challenger.best(goal), incumbent.best(goal)
    if new is None:
        return old is None and challenger.shortest * CLEAR < incumbent.shortest
    if old is None:
        return True
    each = zip(new.rounds[-len(old.rounds) :], old.rounds[-len(new.rounds) :], strict=True)
    return new.rate.median >= CLEAR * old.rate.median and all(one.rate > other.rate for one, other in each)
