"""What stands around the supervisor in its tests: a clock, a pool, TorchServe with its management API, the
gateway. Nothing here waits, and nothing is started."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from handlers.recipe import Recipe
from scripts.errors import CommandError
from scripts.gateway.routing import Routing
from scripts.serving.management import NoAnswer, QueueSeen, Registered, WorkerSeen

NO_PROCESS = 2**22 + 1
"""A pid that no process can have: the kernel's own limit is 2**22."""


class Clock:
    """Stands in for the module `time`: who sleeps moves it, and nobody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.each: Callable[[], object] = lambda: None
        """Called at the end of every sleep: what happens meanwhile."""

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.each()


def stop_time(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Clock:
    """The clock that these modules go by from now on."""
    clock = Clock()
    for module in modules:
        monkeypatch.setattr(module, "time", clock)
    return clock


class Pool:
    """An executor whose calls run when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[None], Callable[[], None]]] = []

    def submit(self, call: Callable[..., None], *words: Any) -> Future[None]:
        future: Future[None] = Future()
        self.waiting.append((future, lambda: call(*words)))
        return future

    def run(self) -> None:
        calls, self.waiting = self.waiting, []
        for future, call in calls:
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        self.waiting.clear()


class Management:
    """TorchServe's registrations, as they were seen to behave: the first version of a model is its default,
    which can't be taken away while there are others; what is there already isn't registered again."""

    def __init__(self, failures: Path) -> None:
        self.failures = failures
        self.workers: dict[tuple[str, str], list[WorkerSeen]] = {}
        self.pending: dict[tuple[str, str], int] = {}
        self.defaults: dict[str, str] = {}
        self.broken: dict[tuple[str, str], str] = {}
        """What a worker of this version leaves as the reason, and dies."""
        self.unscalable: set[str] = set()
        self.answering = True
        self.calls: list[tuple[Any, ...]] = []
        self._ports = itertools.count(9000)

    def register(self, archive: Path, recipe: Recipe) -> str:
        key = recipe.handler.name, recipe.handler.version
        self._called("register", *key)
        if key in self.workers:
            return f"Model version {key[1]} is already registered for model {key[0]}"
        if key in self.broken:
            (self.failures / f"{key[0]}-{key[1]}.txt").write_text(self.broken[key])
            return "Failed to start workers"
        self.workers[key] = self.new_workers(recipe.workers)
        self.defaults.setdefault(key[0], key[1])
        return ""

    def describe(self, name: str) -> list[Registered]:
        self._answer()
        return [
            Registered(key[1], list(workers), QueueSeen(self.pending.get(key, 0)))
            for key, workers in self.workers.items()
            if key[0] == name
        ]

    def version(self, name: str, version: str) -> Registered | None:
        found = [one for one in self.describe(name) if one.model_version == version]
        return found[0] if found else None

    def scale(self, name: str, version: str, workers: int) -> None:
        self._called("scale", name, version, workers)
        if name in self.unscalable or (name, version) not in self.workers:
            raise CommandError(f"TorchServe can't scale {name} {version}: status 404")
        kept = self.workers[name, version][:workers]
        self.workers[name, version] = kept + self.new_workers(workers - len(kept))

    def set_default(self, name: str, version: str) -> None:
        self._called("set_default", name, version)
        if (name, version) not in self.workers:
            raise CommandError(f"TorchServe can't make {version} the default of {name}: status 404")
        self.defaults[name] = version

    def unregister(self, name: str, version: str) -> None:
        self._called("unregister", name, version)
        others = [key for key in self.workers if key[0] == name and key[1] != version]
        if others and self.defaults.get(name) == version:
            return  # 403
        self.workers.pop((name, version), None)
        if not others:
            self.defaults.pop(name, None)

    def new_workers(self, count: int) -> list[WorkerSeen]:
        """READY at once; no id is given twice."""
        return [ready(next(self._ports)) for _ in range(count)]

    def forget(self) -> None:
        """As after another start of Java."""
        self.workers.clear()
        self.defaults.clear()

    def done(self, verb: str) -> list[tuple[Any, ...]]:
        """What was asked for with that verb, in its order."""
        return [call[1:] for call in self.calls if call[0] == verb]

    def _called(self, *call: Any) -> None:
        self._answer()
        self.calls.append(call)

    def _answer(self) -> None:
        if not self.answering:
            raise NoAnswer("TorchServe's management API doesn't answer (ConnectTimeout)")


def ready(number: int) -> WorkerSeen:
    return WorkerSeen(str(number), "READY", os.getpid())


def booting(number: int) -> WorkerSeen:
    return WorkerSeen(str(number), "UNLOADING", os.getpid())


def dead(number: int) -> WorkerSeen:
    """Between two tries, or for ever."""
    return WorkerSeen(str(number), "UNLOADING", NO_PROCESS)


def with_process(workers: Iterable[WorkerSeen]) -> set[str]:
    """The ids of those that are READY or on their way."""
    return {worker.id for worker in workers if worker.pid == os.getpid()}


class Server:
    """A TorchServe that starts at once, unless it is told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.told = self.scratch / "failures"
        self.told.mkdir(parents=True)
        self.log = folder / "torchserve.log"
        self.management = Management(self.told)
        self.lives = False
        self.starts = 0
        self.stopped = False
        self.starting: Callable[[], None] = lambda: None
        """What happens at each start; what it raises, `start` raises."""
        self.replies = True

    def start(self) -> None:
        self.starts += 1
        self.starting()
        self.management.forget()
        self.lives = True

    def alive(self) -> bool:
        return self.lives

    def answers(self) -> bool:
        if not self.lives:
            raise CommandError("TorchServe ended:\nits own last words")
        return self.replies

    def running(self) -> set[str]:
        return with_process(itertools.chain.from_iterable(self.management.workers.values()))

    def stop(self) -> None:
        self.lives, self.stopped = False, True


class Gateway:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lives = False
        self.answering = True
        self.starts = 0
        self.published: list[Routing] = []
        self.in_flight: dict[tuple[str, str], int] = {}
        self.others = 0
        """In flight beyond those: what it answers itself."""
        self.draining = False
        self.refusal: CommandError | None = None

    def start(self, scratch: Path, routing: Routing) -> None:
        self.starts += 1
        if self.refusal is not None:
            raise self.refusal
        self.lives = True
        self.published.append(routing)

    def publish(self, routing: Routing) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.published.append(routing)

    def alive(self) -> bool:
        return self.lives

    def active(self, name: str, version: str) -> int:
        self._answer()
        return self.in_flight.get((name, version), 0) if self.lives else 0

    def active_all(self) -> int:
        self._answer()
        return sum(self.in_flight.values()) + self.others if self.lives else 0

    def drain(self) -> None:
        self.draining = True

    def rotate_log(self) -> None:
        return

    def stop(self) -> None:
        self.lives = False

    def _answer(self) -> None:
        if not self.answering:
            raise CommandError("the gateway doesn't answer")
