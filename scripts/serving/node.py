"""This node's versions: makes TorchServe's registrations what is wanted, alone to call its management API.

Called from the supervisor's loop alone; what takes long runs in a pool, and the loop sees how it went.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from handlers.cores import cores
from handlers.errors import Refusal
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.serving import registering
from scripts.serving.defaults import Defaults
from scripts.serving.life import Life
from scripts.serving.management import NoAnswer, Registered
from scripts.serving.registering import NotReady
from scripts.serving.torchserve import TorchServe
from scripts.state.wanted import Wanted, WantedModel, WantedVersion

RESTARTS = 2  # of a version's workers, before it counts as failed

Active = Callable[[str, str], "int | None"]
"""Requests in flight on a version, as the gateway counts them; None without a gateway."""

Say = Callable[[str], None]


LOOKS = 8
"""Times in a row that nothing is in flight before workers are taken away: between two requests of a busy
model one look finds it idle, and the next request would go to a worker that ends."""


class Node:
    """The versions that are, or are becoming, what is wanted."""

    def __init__(self, places: Places, server: TorchServe, active: Active, say: Say) -> None:
        self._places = places
        self._server = server
        self.active = active
        self._say = say
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="register")
        # Its own: what leaves waits for no model to load.
        self._leaving = ThreadPoolExecutor(cores(), thread_name_prefix="unregister")
        self._defaults = Defaults(server)
        self.lives: dict[tuple[str, str], Life] = {}

    @property
    def defaults(self) -> dict[str, str]:
        """The version of each model that answers callers who name none."""
        return self._defaults.chosen

    @property
    def told(self) -> Path:
        """The folder where workers leave word."""
        return self._server.told

    def close(self) -> None:
        for pool in (self._pool, self._leaving):
            pool.shutdown(wait=False, cancel_futures=True)

    def reset(self) -> None:
        """TorchServe has ended, and knows nothing any more."""
        self._defaults.forget_all()
        for life in list(self.lives.values()):
            if life.state == "leaving":
                self._remove(life)
            elif life.state != "failed":
                life.forget("waiting")

    def expect(self, wanted: Wanted) -> None:
        """Know what is wanted before TorchServe is there: callers are told that it is loading."""
        self._take_in(wanted.serving())
        self._defaults.choose(wanted.serving(), self.lives)

    def reconcile(self, wanted: Wanted) -> None:
        """One step from what is to what is wanted. Raises CommandError when TorchServe doesn't answer."""
        serving = wanted.serving()
        self._take_in(serving)
        self._finish_calls()
        self.look()
        self._defaults.choose(serving, self.lives)
        for life in list(self.lives.values()):
            version = serving.get(life.name, WantedModel()).versions.get(life.version)
            try:
                if version is not None and not version.leaving:
                    self._keep(life, version)
                elif self.defaults.get(life.name) != life.version:
                    self._let_go(life)
            except NoAnswer:
                raise
            except CommandError as error:  # one version's trouble is no other's
                self._tell(life, str(error))

    def look(self) -> None:
        """What TorchServe says of each version now."""
        running = cache(self._server.running)  # at most one look at the machine's processes, if any
        for name in {life.name for life in self.lives.values() if life.registered}:
            found = {seen.model_version: seen for seen in self._server.management.describe(name)}
            for life in [one for one in self.lives.values() if one.name == name and one.registered]:
                self._see(life, found.get(life.version), running)

    def _see(self, life: Life, seen: Registered | None, running: Callable[[], set[str]]) -> None:
        before = life.state
        if seen is not None:
            whole = all(worker.status == "READY" for worker in seen.workers)
            life.see(seen, set() if whole else running())
        elif life.state == "leaving":
            if life.call is None:
                self._remove(life)
        else:
            life.forget("waiting")
            self._defaults.forget(life.name)
        if life.state != before:
            self._tell(life, f"{before} -> {life.state}")

    def _tell(self, life: Life, news: str) -> None:
        """Say it, once for as long as it stays so."""
        if life.told_last != news:
            life.told_last = news
            self._say(f"{life.name} {life.version}: {news}")

    def unrouted(self) -> None:
        """The gateway leads nobody to the versions that leave, from now on at the latest."""
        for life in self.lives.values():
            if life.state == "leaving" and life.unrouted_since is None:
                life.unrouted_since = time.monotonic()

    def _take_in(self, serving: dict[str, WantedModel]) -> None:
        """A life for every version that is wanted here."""
        for name, model in serving.items():
            for number, version in model.versions.items():
                if (name, number) not in self.lives and not version.leaving:
                    archive = mar.path_in(self._places, name, number)
                    self.lives[name, number] = Life(name, number, archive)
                if (name, number) in self.lives:
                    self.lives[name, number].ask(version.asked)

    def _finish_calls(self) -> None:
        """How the calls went that have come to their end."""
        for life in list(self.lives.values()):
            if life.call is None or not life.call.done():
                continue
            error = life.call.exception()
            life.call = None
            if life.state == "leaving":
                if error is None:
                    self._remove(life)
                else:
                    self._tell(life, str(error))
            elif error is None:
                life.succeed(life.told)
            else:
                life.fail(*_told(error))
                self._tell(life, f"failed: {life.reason}")

    def _keep(self, life: Life, wanted: WantedVersion) -> None:
        """One step towards READY with as many workers as wanted."""
        if life.state == "leaving" and life.call is None:
            life.state, life.unrouted_since = "ready", None
        if life.due() and not self._busy(life.name):
            self._register(life, wanted)
        elif life.state in ("ready", "recovering"):
            if life.abandoned:
                self._restart(life, wanted)
            else:
                self._scale(life, wanted.workers)
            self._defaults.tell(life)

    def _scale(self, life: Life, workers: int) -> None:
        """So many, and one more for each that TorchServe has given up on: it counts those still."""
        asked = workers + (life.given_up() if life.ready else 0)
        if workers <= life.told < asked:
            if not life.replacements.over():  # each dies as well: no memory left on its GPU, say
                return
            life.replacements.begin()
        elif life.told == asked:
            return
        elif life.told > asked and not all(
            life.idle(self.active(life.name, life.version)) for _ in range(LOOKS)
        ):
            return  # TorchServe would end a busy worker, and its job may wait till its deadline
        self._server.management.scale(life.name, life.version, asked)
        life.told = asked

    def _busy(self, name: str) -> bool:
        """Whether a call for another version is under way: TorchServe confuses two at once."""
        return any(life.call is not None for life in self.lives.values() if life.name == name)

    def _register(self, life: Life, wanted: WantedVersion) -> None:
        try:
            life.recipe = recipe = mar.read_recipe(life.archive)
        except Refusal as error:
            life.fail(*_told(error))
            return
        model = recipe.handler
        if (model.name, model.version) != (life.name, life.version):
            life.fail(f"{shown(life.archive)} holds {model.name} {model.version}, whatever it is called", "")
            return
        life.state, life.told = "loading", wanted.workers
        life.call = self._pool.submit(
            registering.register, self._server, life.archive, recipe, wanted.workers
        )

    def _restart(self, life: Life, wanted: WantedVersion) -> None:
        """Its workers are lost, and TorchServe would let every request hang: start new ones.

        What waits in its queue is answered by them. If that doesn't help, it is registered anew, by and by.
        """
        management = self._server.management
        if life.restarts < RESTARTS:
            self._say(f"{life.name} {life.version}: its workers are lost, starting new ones")
            management.scale(life.name, life.version, 0)  # or TorchServe counts those that it gave up on
            management.scale(life.name, life.version, wanted.workers)
            life.told, life.restarts = wanted.workers, life.restarts + 1
            return
        self._defaults.give_up(life, self.lives)
        management.unregister(life.name, life.version)
        reason, traceback = registering.reason(self._server, life.name, life.version)
        life.fail(reason or "its workers end again and again, without a word", traceback)
        self._tell(life, f"failed: {life.reason}")

    def _let_go(self, life: Life) -> None:
        """One step towards being gone, once nothing is in flight."""
        if life.call is not None:
            return
        if not life.registered:
            self._remove(life)
        elif life.state != "leaving":
            life.state, life.unrouted_since = "leaving", None
        elif not self._busy(life.name) and life.drained(self.active(life.name, life.version)):
            self._defaults.give_up(life, self.lives)
            life.call = self._leaving.submit(registering.unregister, self._server, life.name, life.version)

    def _remove(self, life: Life) -> None:
        self.lives.pop((life.name, life.version))


def _told(error: BaseException) -> tuple[str, str]:
    """(reason, traceback) of what went wrong."""
    traceback = error.traceback if isinstance(error, NotReady) else ""
    return str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}", traceback
