"""Which candidate is kept: the fastest, unless a simpler one is about as fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec.structs import replace

from handlers.recipe import Model
from handlers.runtimes.decision import EAGER, Candidate, Tried
from scripts.optimising.candidates import simplicity

CLEAR = 0.9
"""Of the simpler one's time: whatever needs more isn't clearly faster, by a machine's own noise."""

LEAST = 0.05
"""ms that a clear win saves: a request costs more than that anyway."""

LATE = "the time was up"
"""Why a candidate wasn't tried."""

OVERTIME = "it wasn't done in its time"
"""Why one that was under way was ended."""


def chosen(passed: Sequence[Tried], model: Model) -> Candidate:
    """Of those that passed the gate and were timed; the reference is always among them.

    A runtime that the recipe names is taken if it passed, however fast it is.
    """
    named = [one for one in passed if one.candidate.runtime == model.runtime]
    return _fastest(named or passed).candidate


def _fastest(rows: Sequence[Tried]) -> Tried:
    """The simplest that the fastest doesn't clearly beat."""
    fastest = min(rows, key=score)
    level = [one for one in rows if not clearly_faster(fastest, one)]
    return min(level, key=lambda one: simplicity(one.candidate))


def score(row: Tried) -> float:
    """ms: the geometric mean of a batch of one and a full one, so that neither counts for more."""
    return math.sqrt((row.ms_one or math.inf) * (row.ms_full or math.inf))


def clearly_faster(one: Tried, other: Tried) -> bool:
    return score(one) <= CLEAR * score(other) and score(other) - score(one) >= LEAST


def judged(passed: Sequence[Tried], kept: Candidate, model: Model) -> list[Tried]:
    """The rows with their verdict, and why."""
    winner = next(row for row in passed if row.candidate == kept)
    eager = next(row for row in passed if row.candidate == EAGER)
    fastest = min(passed, key=score)
    return [
        _kept(row, eager, model) if row is winner else _lost(row, winner, fastest, model) for row in passed
    ]


def _kept(row: Tried, eager: Tried, model: Model) -> Tried:
    if row is eager:
        return replace(row, verdict="kept", why="")
    named = ", named in the recipe" if _named(row, model) else ""
    return replace(row, verdict="kept", why=f"{times(row, eager)} times as fast as eager{named}")


def _lost(row: Tried, winner: Tried, fastest: Tried, model: Model) -> Tried:
    if _named(winner, model) and not _named(row, model):
        return replace(row, verdict="tie", why=f"the recipe names {model.runtime}")
    if clearly_faster(fastest, row):
        took = f"{times(fastest, row)} times the time of {fastest.candidate}"
        return replace(row, verdict="slower", why=took)
    return replace(row, verdict="tie", why=f"{winner.candidate} is simpler, and about as fast")


def _named(row: Tried, model: Model) -> bool:
    return row.candidate.runtime == model.runtime


def times(one: Tried, other: Tried) -> str:
    """How many times as fast as the other, in two digits or as a whole number."""
    found = score(other) / score(one)
    return f"{found:.0f}" if found >= 10 else f"{found:.2g}"
