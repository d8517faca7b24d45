"""This node's versions: makes TorchServe's registrations what is wanted, alone to call its management API.

Called from the supervisor's loop alone; what takes long runs in a pool, and the loop sees how it went.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from handlers.cores import cores
from handlers.errors import Refusal
from scripts.client import NoAnswer, Registered
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.serving import registering
from scripts.serving.life import Life
from scripts.serving.registering import NotReady
from scripts.serving.torchserve import TorchServe
from scripts.state.wanted import Wanted, WantedModel, WantedVersion

HOLD = 0.5  # s without a route before "nothing in flight" counts: the gateway's threads switch one by one
RESTARTS = 2  # of a version's workers, before it counts as failed
ANSWERED_BY = 60  # s; for a version whose recipe couldn't be read

Active = Callable[[str, str], "int | None"]
"""Requests in flight on a version, as the gateway counts them; None without a gateway."""

Say = Callable[[str], None]


class Node:
    """The versions that are, or are becoming, what is wanted."""

    def __init__(self, places: Places, server: TorchServe, active: Active, say: Say) -> None:
        self._places = places
        self._server = server
        self.active = active
        self._say = say
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="register")
        self._told_default: dict[str, str] = {}
        self.lives: dict[tuple[str, str], Life] = {}
        self.defaults: dict[str, str] = {}
        """The version of each model that answers callers who name none."""

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def reset(self) -> None:
        """TorchServe has ended, and knows nothing any more."""
        self._told_default.clear()
        for life in list(self.lives.values()):
            if life.state == "leaving":
                self._remove(life)
            elif life.state != "failed":
                life.forget("waiting")

    def expect(self, wanted: Wanted) -> None:
        """Know what is wanted before TorchServe is there: callers are told that it is loading."""
        self._take_in(wanted.serving())
        self._choose_defaults(wanted.serving())

    def reconcile(self, wanted: Wanted) -> None:
        """One step from what is to what is wanted. Raises CommandError when TorchServe doesn't answer."""
        serving = wanted.serving()
        self._take_in(serving)
        self._finish_calls()
        self.look()
        self._choose_defaults(serving)
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
        for name in {life.name for life in self.lives.values() if life.registered}:
            found = {seen.model_version: seen for seen in self._server.management.describe(name)}
            for life in [one for one in self.lives.values() if one.name == name and one.registered]:
                self._see(life, found.get(life.version))

    def _see(self, life: Life, seen: Registered | None) -> None:
        before = life.state
        if seen is not None:
            whole = all(worker.status == "READY" for worker in seen.workers)
            life.see(seen, set() if whole else self._server.running())
        elif life.state == "leaving":
            if life.call is None:
                self._remove(life)
        else:
            life.forget("waiting")
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

    def _choose_defaults(self, serving: dict[str, WantedModel]) -> None:
        """The wanted default as soon as it is READY; until then whatever answers now keeps answering."""
        for name in self.defaults.keys() - serving.keys():
            del self.defaults[name]
        for name, model in serving.items():
            staying = [number for number, version in model.versions.items() if not version.leaving]
            if not staying:
                self.defaults.pop(name, None)
                continue
            chosen = model.default if model.default in staying else staying[0]
            if not self._answers(name, chosen) and self._answers(name, self.defaults.get(name, "")):
                chosen = self.defaults[name]
            self.defaults[name] = chosen
            if self._answers(name, chosen) and self._told_default.get(name) != chosen:
                self._make_default(name, chosen)

    def _make_default(self, name: str, version: str) -> None:
        """TorchServe's own default, for who asks it without our gateway."""
        self._server.management.set_default(name, version)
        self._told_default[name] = version

    def _give_up_default(self, life: Life) -> None:
        """TorchServe takes no default away while there are other versions."""
        others = (one for one in self.lives.values() if one.name == life.name and one.registered)
        other = next((one for one in others if one is not life), None)
        if other is not None:
            self._make_default(life.name, other.version)

    def _answers(self, name: str, version: str) -> bool:
        life = self.lives.get((name, version))
        return life is not None and life.state == "ready"

    def _keep(self, life: Life, wanted: WantedVersion) -> None:
        """One step towards READY with as many workers as wanted."""
        if life.state == "leaving" and life.call is None:
            life.state, life.unrouted_since = "ready", None
        if life.due() and not self._busy(life.name):
            self._register(life, wanted)
        elif life.state in ("ready", "recovering"):
            dead = life.given_up() if life.ready else 0
            if life.abandoned:
                self._restart(life, wanted)
            elif life.told < wanted.workers + dead or (
                life.told > wanted.workers + dead and self._idle(life)  # or it would run a job twice
            ):
                self._server.management.scale(life.name, life.version, wanted.workers + dead)
                life.told = wanted.workers + dead

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
        self._give_up_default(life)
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
        elif self._held(life) and self._idle(life):
            if self._busy(life.name):
                return
            self._give_up_default(life)
            life.call = self._pool.submit(registering.unregister, self._server, life.name, life.version)

    def _held(self, life: Life) -> bool:
        """Whether no route has led to it for long enough that what is in flight is all counted.

        Without a gateway nobody counts, and as long as an answer may take must have passed.
        """
        if life.unrouted_since is None:
            return False
        hold = HOLD
        if self.active(life.name, life.version) is None:
            hold = life.recipe.response_timeout if life.recipe is not None else ANSWERED_BY
        return time.monotonic() - life.unrouted_since >= hold

    def _idle(self, life: Life) -> bool:
        """Whether nothing is in flight. What waits for workers that are no more waits for nobody's answer."""
        active = self.active(life.name, life.version)
        forsaken = active is not None and not life.ready
        return not active and (forsaken or not life.pending)

    def _remove(self, life: Life) -> None:
        self.lives.pop((life.name, life.version))


def _told(error: BaseException) -> tuple[str, str]:
    """(reason, traceback) of what went wrong."""
    traceback = error.traceback if isinstance(error, NotReady) else ""
    return str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}", traceback
