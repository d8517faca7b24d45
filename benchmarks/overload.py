"""More requests than a model can answer: what is answered nevertheless, how soon, and how others fare.

    .venv/bin/python -m benchmarks.overload                # a model that sleeps 50 ms for each batch of 8
    .venv/bin/python -m benchmarks.overload --computing    # one that computes instead, beside everything else

Starts an `up` of its own. First what the model can answer, by a crowd that is always there; then so many
times of that, evenly, from clients who wait for nobody. Another model is asked now and then meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from benchmarks import busy
from benchmarks.arrivals import Arrival, Caller
from scripts import config
from scripts.benchmarking.private import Up, places_in
from scripts.places import Places
from scripts.processes.scratch import Scratch

SLOW, OTHER = "slow", "other"
FACTORS = (1.0, 2.0, 5.0, 10.0)
SECONDS = 10.0  # of each

CROWD = 4 * busy.BATCH
"""Clients that keep a worker busy: one batch runs, and there is always a next one."""

SETTLED = 1.0  # s from the start that aren't counted
CALM = 0.25
"""Of its capacity: what a model is asked for before, and after, to see whether its latency is normal."""
CALM_SECONDS = 5.0
OTHER_RATE = 20.0  # requests a second
NORMAL = 2.0
"""Times the calm p99: answered within that, a request counts as normal."""
WATCHED = 11
"""Seconds afterwards that are looked at, one by one."""


class Step(Struct, frozen=True):
    """One factor's; rates are a second, latencies in ms."""

    factor: float
    offered: float
    goodput: float
    share: float
    """Of the capacity."""
    refusals: int
    ill_refused: int
    """Refusals without Retry-After, or in another body than ours."""
    lost: int
    """Neither answered nor refused."""
    accepted: tuple[float, float]
    """p50 and p99."""
    refused: tuple[float, float]
    other: tuple[float, float]
    other_failed: int
    normal_after: float
    """See `normal_after`."""


class Overload(Struct, frozen=True):
    """What was found of one model."""

    capacity: float
    calm: tuple[float, float]
    """p50 and p99 in ms, unhurried."""
    steps: list[Step]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--computing", action="store_true", help="the model computes; otherwise it sleeps")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each factor")
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS, help="times the capacity")
    asked = parser.parse_args()
    with Scratch("overload-") as scratch, ExitStack() as stack:
        models = make(scratch / "models", busy.COMPUTES if asked.computing else busy.SLEEPS)
        places = places_in(scratch / "up", replace(Places(), models=models), patient=False)
        Up(places, [SLOW, OTHER], stack)
        print(table(measure(config.load(places.config).gateway.url, asked.seconds, asked.factors)))


def make(models: Path, how: str) -> Path:
    """The two models' folder."""
    busy.make(models, SLOW, how)
    busy.make(models, OTHER, busy.NOTHING)
    return models


def measure(url: str, seconds: float, factors: Sequence[float]) -> Overload:
    return asyncio.run(_measure(url, seconds, factors))


async def _measure(url: str, seconds: float, factors: Sequence[float]) -> Overload:
    slow, other = Caller(url, SLOW, busy.BODY), Caller(url, OTHER, busy.BODY)
    try:
        crowd = await slow.crowd(CROWD, SETTLED + CALM_SECONDS)
        capacity = _rate(crowd, SETTLED, SETTLED + CALM_SECONDS)
        calm = _ms([one.seconds for one in await slow.arrive(CALM * capacity, CALM_SECONDS)])
        steps = [await _step(slow, other, factor, capacity, calm[1], seconds) for factor in factors]
    finally:
        slow.close()
        other.close()
        await asyncio.sleep(0)  # for the sockets to be closed
    return Overload(capacity, calm, steps)


async def _step(
    slow: Caller, other: Caller, factor: float, capacity: float, calm: float, seconds: float
) -> Step:
    asked = SETTLED + seconds
    found, beside = await asyncio.gather(
        slow.arrive(factor * capacity, asked), other.arrive(OTHER_RATE, asked)
    )
    ended = max(one.due for one in found)
    after = await slow.arrive(CALM * capacity, WATCHED)  # begins when the last of those before has ended
    goodput = _rate(found, SETTLED, asked)
    refusals = [one for one in found if one.refused]
    return Step(
        factor,
        offered=len(found) / (ended - min(one.due for one in found)),
        goodput=goodput,
        share=goodput / capacity,
        refusals=len(refusals),
        ill_refused=sum(not one.retry_after or b'"overloaded"' not in one.body for one in refusals),
        lost=sum(not one.good and not one.refused for one in found),
        accepted=_ms([one.seconds for one in found if one.good]),
        refused=_ms([one.seconds for one in refusals]),
        other=_ms([one.seconds for one in beside if one.good]),
        other_failed=sum(not one.good for one in beside),
        normal_after=normal_after(found, after, calm),
    )


def normal_after(found: Sequence[Arrival], after: Sequence[Arrival], calm: float) -> float:
    """Seconds from the last arrival of `found` until all is answered, and half of it as soon as normally.

    By whole seconds of `after`, since a single late one says nothing, and no sooner than the last of `found`
    has ended. inf where it isn't so in the last second that was looked at.
    """
    arrived, drained = max(one.due for one in found), max(one.ended for one in found)
    first = min(one.due for one in after)
    seconds = list[list[Arrival]]([] for _ in range(WATCHED))
    for one in after:
        seconds[min(int(one.due - first), WATCHED - 1)].append(one)
    ill = [number for number, those in enumerate(seconds) if those and not _normal(those, calm)]
    if not ill:
        return drained - arrived
    return float("inf") if ill[-1] == WATCHED - 1 else first + ill[-1] + 1 - arrived


def _normal(those: Sequence[Arrival], calm: float) -> bool:
    return all(one.good for one in those) and _ms([one.seconds for one in those])[0] <= NORMAL * calm


def _rate(found: Sequence[Arrival], begin: float, end: float) -> float:
    """Good answers a second, of those that came in this time from the first one on."""
    first = min(one.due for one in found)
    return sum(one.good and begin <= one.ended - first < end for one in found) / (end - begin)


def _ms(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 in ms; nan, which a table shows as -, of none."""
    if not seconds:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return float(p50), float(p99)


def table(found: Overload) -> str:
    """For a terminal, or the README."""
    lines = [
        f"capacity {found.capacity:.0f}/s; unhurried p50 {found.calm[0]:.0f} ms, p99 {found.calm[1]:.0f} ms",
        "",
        "| offered | goodput/s | of capacity | refused | accepted p50, p99 ms | refused p99 ms "
        "| another model p50, p99 ms (errors) | normal after s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for step in found.steps:
        lines.append(
            f"| {step.factor:g}x, {step.offered:.0f}/s | {step.goodput:.0f} | {step.share:.0%} "
            f"| {step.refusals} | {step.accepted[0]:.0f}, {step.accepted[1]:.0f} | {step.refused[1]:.1f} "
            f"| {step.other[0]:.1f}, {step.other[1]:.1f} ({step.other_failed}) | {step.normal_after:.1f} |"
        )
    return "\n".join(lines).replace("nan", "-")


if __name__ == "__main__":
    main()
