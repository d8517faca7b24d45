"""What is proposed after a search: the setting, the recipe's diff, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarking.table import number
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.state import durable
from scripts.tuning.goal import Goal
from scripts.tuning.search import Found


def nothing(found: Found, goal: Goal) -> str:
    """The line for a search in which no setting did what was wanted."""
    nearest = min(found.measured, key=lambda one: one.shortest)
    if goal.limit is None or nearest.shortest == float("inf"):
        return "✗ every setting answered some requests badly: see the column errors"
    return (
        f"✗ no setting keeps a p99 of {goal.limit:g} ms; the nearest has {number(nearest.shortest)} ms: "
        f"{nearest.setting}"
    )


def lines(
    entry: Entry, found: Found, goal: Goal, diff: str, places: Places, *, written: bool
) -> Iterator[str]:
    """What is told of a search that found something."""
    by = {one.setting: one for one in found.measured}
    start, best = found.duel or (by[found.start], by[found.best])
    row = best.best(goal)
    if not diff or row is None:
        yield f"✓ {entry.name}: the present setting stays, nothing was clearly better: {found.start}"
        return
    before = start.rate(goal)
    ratio = f", {row.rate.median / before:.2f} times the present setting's" if before else ""
    rate = f"{number(row.rate.median)} items/s at {row.connections} connections"
    yield f"✓ {entry.name}: {found.best}: {rate}{ratio}, p99 {number(row.p99.median)} ms"
    yield f"\n{diff}"
    if not written:
        yield "--write writes it"
    if found.best.runtime != found.start.runtime:
        yield f"then: scripts/pthserve optimise {entry.name}"
    if mar.path_of(entry, places).exists():
        yield f"then: raise handler.version above {entry.version!r}, which is packed as it was"


def write(path: Path, before: str, after: str) -> None:
    """Raises CommandError if the recipe isn't what it was when the search began."""
    if path.read_text(encoding="utf-8") != before:
        raise CommandError(f"{shown(path)} was changed meanwhile", hint="take the lines of the diff by hand")
    durable.replace(path, after.encode())
