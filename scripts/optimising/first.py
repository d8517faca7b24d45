"""Before a model is packed by `up`: decide what executes it, unless that is decided."""

from __future__ import annotations

from handlers.errors import Refusal
from scripts import catalog
from scripts.catalog import Entry
from scripts.optimising import standing
from scripts.optimising.measurement import measure
from scripts.packing import mar
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children

SECONDS = 60.0
"""At most, for one model: who waits for `up` wants it served."""


def undecided(entry: Entry, places: Places) -> bool:
    """Whether it is packed anew, and what executes it is yet to be decided."""
    packed = mar.path_of(entry, places).exists()
    return not packed and standing.standing(entry) not in ("not needed", "current")


def decided(entry: Entry, places: Places, children: Children) -> list[str]:
    """`decide` where that is needed; what is packed already stays as it is."""
    return decide(entry, places, children) if undecided(entry, places) else []


def decide(entry: Entry, places: Places, children: Children) -> list[str]:
    """What was done, in words; never raises: what can't be decided is served by eager, and a note says so."""
    try:
        fetched = [f"fetched {shown(entry.weights)}"] if fetch(entry, children) else []
    except (Refusal, OSError):
        return []  # packing it tells of that
    try:
        return [*fetched, *_measured(entry, places, children)]
    except (Refusal, OSError) as error:
        told = str(error) if isinstance(error, Refusal) else error.strerror or str(error)
        return [*fetched, f"NOTE: its runtimes weren't measured ({told})"]


def _measured(entry: Entry, places: Places, children: Children) -> list[str]:
    catalog.require_files(entry)
    decision = measure(entry, places, children, SECONDS)
    from scripts.optimising import table

    late = table.late(decision)
    more = f"NOTE: no time for {late}: scripts/pthserve optimise {entry.name}"
    return [table.summary(decision), *([more] if late else [])]
