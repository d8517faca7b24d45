"""How a command changes the wanted state: alone for its model, then waiting for the observed to follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from scripts.errors import CommandError
from scripts.places import Places, shown
from scripts.state import durable, mirrors, observed, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import Wanted, WantedModel

POLL = 0.1  # s
UNDONE = 60.0  # s to wait until what was taken back is gone: a version is unregistered after it has loaded

NO_SUPERVISOR = "start one with scripts/pthserve up, or name its state folder with --state"


@contextmanager
def alone(places: Places, name: str) -> Iterator[None]:
    """No other command changes this model meanwhile; raises CommandError when one does, or nobody serves."""
    running(places)
    with durable.locked(places.state / "commands" / f"{name}.lock", wait=False) as ours:
        if not ours:
            raise CommandError(f"another command is changing {name}", hint="wait until it is done")
        yield


@contextmanager
def taken_back(places: Places, name: str, *, trying: str = "") -> Iterator[None]:
    """Within `alone`: unless all that is asked for in here comes about, the model is wanted as it was before.

    Be it that the command fails, is interrupted, or its supervisor ends. But a `shadow` that has ended
    meanwhile, which may be at any time, has ended. A version that is only being tried,
    and didn't answer before, isn't wanted then: an earlier command, killed, may have left it.
    """
    before = _before(places, name, trying)
    try:
        yield
    except BaseException as error:
        revision = ask(
            places,
            lambda now: (
                now.having(name, mirrors.restored(before, now.model(name)))
                if before is not None
                else now.without(name)
            ),
        )
        if isinstance(error, Exception):  # who interrupts doesn't want to wait
            there = set(before.versions) if before is not None else set()
            with suppress(CommandError):
                wait(places, revision, lambda seen: seen.versions(name).keys() <= there, UNDONE)
        raise


def _before(places: Places, name: str, trying: str) -> WantedModel | None:
    model = wanted.load(places).models.get(name)
    if model is None or trying not in model.versions or trying == model.default:
        return model
    seen = running(places).version(name, trying)
    if seen is not None and seen.state == "ready":
        return model
    versions = {number: one for number, one in model.versions.items() if number != trying}
    return msgspec.structs.replace(model, versions=versions)


def running(places: Places) -> Observed:
    """What the supervisor sees; raises CommandError when none runs."""
    seen = observed.load(places)
    if seen is None and durable.held(places.supervisor_lock):
        raise CommandError(
            f"the supervisor on {shown(places.state)} has only begun", hint="try again in a moment"
        )
    if seen is None:
        raise CommandError(f"no supervisor runs on {shown(places.state)}", hint=NO_SUPERVISOR)
    return seen


def ask(places: Places, edit: Callable[[Wanted], Wanted]) -> int:
    """Change the wanted state, cleared of what a killed `shadow` has left; the revision that has it."""
    return wanted.change(places, lambda state: edit(mirrors.living(state))).revision


def wait(places: Places, revision: int, fact: Callable[[Observed], bool], timeout: float) -> bool:
    """Whether the fact is seen, by a supervisor that knows the revision, before the time is over."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        seen = running(places)
        if seen.revision >= revision and fact(seen):
            return True
        time.sleep(POLL)
    return False
