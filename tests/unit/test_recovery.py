"""When a model that had too many requests is as it was: told from the requests that follow, by the second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from benchmarks import overload
from benchmarks.arrivals import Arrival
from benchmarks.overload import WATCHED, normal_after

CALM = 100.0  # ms, p99
RATE = 20
INF = float("inf")

Became = Callable[[float], tuple[float, int]]
"""Seconds after the first of them -> how long one took, and its status."""


def arrivals(begin: float, seconds: float, became: Became, rate: int = RATE) -> list[Arrival]:
    found = []
    for number in range(int(seconds * rate)):
        took, status = became(number / rate)
        found.append(Arrival(begin + number / rate, begin + number / rate + took, status))
    return found


def good(_: float) -> tuple[float, int]:
    return 0.09, 200


@pytest.mark.parametrize(
    ("became", "expected"),
    [
        pytest.param(good, 0.09, id="as ever"),
        pytest.param(lambda at: (0.9, 200) if at == 3 else (0.09, 200), 0.09, id="one late one"),
        pytest.param(lambda at: (0.09, 503) if at == 3 else (0.09, 200), 4.05, id="one that failed"),
        pytest.param(lambda at: (0.5 if at < 6 else 0.09, 200), 6.05, id="late for six seconds"),
        pytest.param(lambda _: (0.5, 200), INF, id="late for ever"),
        pytest.param(lambda at: (0.09, 200 if at < 9 else 503), INF, id="503 from then on"),
        pytest.param(lambda at: (9.0, 503), INF, id="503 after nine seconds"),
    ],
)
def test_a_model_is_normal_again_when_the_seconds_that_follow_are(became: Became, expected: float) -> None:
    before = arrivals(0, 5, good)
    found = normal_after(before, arrivals(5, WATCHED, became), CALM)
    assert found == pytest.approx(expected, abs=0.001)


def test_what_still_drained_counts() -> None:
    before = arrivals(0, 5, lambda at: (12.0 if at > 4.9 else 0.1, 200))
    assert normal_after(before, arrivals(16.95, WATCHED, good), CALM) == pytest.approx(12)
    late = arrivals(16.95, WATCHED, lambda at: (0.5 if at < 2 else 0.09, 200))
    assert normal_after(before, late, CALM) == pytest.approx(14)


class Faked:
    """A model at an instant of its own clock."""

    def __init__(self, became: Became) -> None:
        self.now, self._became = 0.0, became

    async def arrive(self, rate: float, seconds: float) -> list[Arrival]:
        found = arrivals(self.now, seconds, lambda at: self._became(self.now + at), int(rate))
        self.now = max(one.ended for one in found)
        return found


@pytest.mark.parametrize(("recovers", "well"), [(True, True), (False, False)])
def test_a_step_looks_long_enough_to_see_who_never_recovers(recovers: bool, well: bool) -> None:
    def became(at: float) -> tuple[float, int]:
        return (0.09, 200) if recovers or at < 4 else (9.0, 503)

    step = overload._step(Faked(became), Faked(good), 2.0, 80.0, CALM, 5.0)  # type: ignore[arg-type]
    assert (asyncio.run(step).normal_after < WATCHED - 1) == well
