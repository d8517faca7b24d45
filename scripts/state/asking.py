"""How a command changes the wanted state: alone for its model, then waiting for the observed to follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scripts.errors import CommandError
from scripts.places import Places, shown
from scripts.state import durable, observed, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import Wanted

POLL = 0.1  # s

NO_SUPERVISOR = "start one with scripts/pthserve up, or name its state folder with --state"


@contextmanager
def alone(places: Places, name: str) -> Iterator[None]:
    """No other command changes this model meanwhile; raises CommandError when one does, or nobody serves."""
    running(places)
    with durable.locked(places.state / "commands" / f"{name}.lock", wait=False) as ours:
        if not ours:
            raise CommandError(f"another command is changing {name}", hint="wait until it is done")
        yield


def running(places: Places) -> Observed:
    """What the supervisor sees; raises CommandError when none runs."""
    seen = observed.load(places)
    if seen is None:
        raise CommandError(f"no supervisor runs on {shown(places.state)}", hint=NO_SUPERVISOR)
    return seen


def ask(places: Places, edit: Callable[[Wanted], Wanted]) -> int:
    """Change the wanted state; the revision that has it."""
    return wanted.change(places, edit).revision


def wait(places: Places, revision: int, fact: Callable[[Observed], bool], timeout: float) -> bool:
    """Whether the fact is seen, by a supervisor that knows the revision, before the time is over."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        seen = running(places)
        if seen.revision >= revision and fact(seen):
            return True
        time.sleep(POLL)
    return False
