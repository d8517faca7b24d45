"""The life of one version on this node: waiting, loading, ready, recovering, failed, leaving, gone.

Facts come in (`registered`, `see`), nothing is called from here: node.py acts on what it says.
"""

from __future__ import annotations

import time
from collections.abc import Set
from concurrent.futures import Future
from pathlib import Path

import psutil
from msgspec import UNSET

from handlers import execution
from handlers.execution import Execution
from handlers.recipe import Recipe
from scripts.serving.management import Registered, WorkerSeen
from scripts.serving.pauses import Pauses
from scripts.state.observed import State

FIRST_PAUSE = 5.0  # s, before the second try of what failed; then twice as long each time
LONGEST_PAUSE = 300.0  # s

LOST = 3.0  # s without a process before a worker counts as given up; TorchServe waits 1, 1, 2, 3, 5, ...
HOLD = 0.5  # s without a route before "nothing in flight" counts: the gateway's threads switch one by one
ANSWERED_BY = 60  # s; for a version whose recipe couldn't be read
STEADY = 60.0  # s of answering after which earlier restarts don't count any more
MEASURED = 5.0  # s that a measurement of memory holds
TORCHSERVE_RETRY = 300  # s; TorchServe's maxRetryTimeoutInSec where the recipe has none


class Life:
    """One version, since it was wanted here."""

    def __init__(self, name: str, version: str, archive: Path) -> None:
        self.name = name
        self.version = version
        self.archive = archive
        self.recipe: Recipe | None = None  # as soon as the archive could be read
        self.state: State = "waiting"
        self.asked = 0  # the wanted revision that the state answers
        self.told = 0  # workers that TorchServe was asked for
        self.workers: list[WorkerSeen] = []
        self.pending = 0  # requests that wait for a worker
        self.reason = ""
        self.traceback = ""
        self.retries = Pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self.call: Future[None] | None = None  # registering, or unregistering: under way
        self.unrouted_since: float | None = None  # monotonic; None while a route leads here
        self.told_last = ""  # what was said of it last
        self.restarts = 0  # times that its workers were started anew, until it was steady again
        self.recovered_at = 0.0  # monotonic
        self._lost: dict[str, float] = {}  # workers without a process -> monotonic, since when
        self.replacements = Pauses(FIRST_PAUSE, LONGEST_PAUSE)  # of single workers that were given up
        self._memory: tuple[float, list[int], int] = 0.0, [], 0  # monotonic when, of which processes, bytes
        self._execution: tuple[list[int], Execution | None] = [], None  # of which processes, what executes

    @property
    def registered(self) -> bool:
        """Whether TorchServe knows it."""
        return self.state in ("ready", "recovering", "leaving")

    @property
    def ready(self) -> int:
        return sum(worker.status == "READY" for worker in self.workers)

    @property
    def unready(self) -> str:
        """Why it can't answer, in a caller's words; "" while it can."""
        match self.state:
            case "ready":
                return ""
            case "leaving":
                return "is being taken away" if self.call is not None else ""
            case "recovering":
                return "is recovering: its workers are starting again"
            case "failed":
                return "can't be loaded"
            case _:
                return "is loading"

    def due(self) -> bool:
        """Whether it is time to register it."""
        return self.call is None and self.state in ("waiting", "failed") and self.retries.over()

    def ask(self, revision: int) -> None:
        """Wanted anew in this revision: what failed is tried at once."""
        if revision > self.asked:
            self.asked = revision
            if self.state == "failed":
                self.forget("waiting")

    def forget(self, state: State) -> None:
        """As if it had never been registered: TorchServe has ended, or it is tried anew."""
        self.state, self.workers, self.pending, self.told, self.call = state, [], 0, 0, None
        self.reason, self.traceback = "", ""
        self.restarts, self.recovered_at = 0, 0.0
        self.retries.forget()
        self.replacements.forget()
        self._lost.clear()

    def fail(self, reason: str, traceback: str) -> None:
        """It couldn't be registered, or its workers kept dying; TorchServe doesn't know it any more."""
        tries = self.retries.tries
        self.forget("failed")
        self.reason, self.traceback, self.retries.tries = reason, traceback, tries
        self.retries.begin()

    def succeed(self, workers: int) -> None:
        """So many workers are READY: its samples have passed in each."""
        self.forget("ready")
        self.told = workers

    def see(self, seen: Registered, running: Set[str]) -> None:
        """What TorchServe says of it now, and which workers have a process, READY or on its way."""
        self.workers, self.pending = seen.workers, seen.job_queue_status.pending_requests
        now = time.monotonic()
        lost = {worker.id for worker in seen.workers if worker.status != "READY"} - running
        if not seen.workers:
            lost = {"all"}
        self._lost = {worker: self._lost.get(worker, now) for worker in lost}
        if self.state == "ready" and self.ready == 0:
            self.state = "recovering"
        elif self.state == "recovering" and self.ready > 0:
            self.state, self.recovered_at = "ready", now
        if self.restarts and self.state == "ready" and now - self.recovered_at > STEADY:
            self.restarts = 0
        if now - self.replacements.until > STEADY:
            self.replacements.forget()

    @property
    def abandoned(self) -> bool:
        """Whether no worker is READY or on its way: whatever TorchServe is up to, we are faster."""
        everyone = all(worker.id in self._lost for worker in self.workers)
        return not self.ready and everyone and self._lost_for(LOST) > 0

    def idle(self, active: int | None) -> bool:
        """Whether nothing is in flight; `active` is what the gateway counts, None without one.

        What waits for workers that are no more waits for nobody's answer: the gateway would count it.
        """
        forsaken = active is not None and not self.ready
        return not active and (forsaken or not self.pending)

    def drained(self, active: int | None) -> bool:
        """Whether nothing is in flight, and no route has led here for long enough that all of it is counted.

        Without a gateway nobody counts, and as long as an answer may take must have passed.
        """
        if self.unrouted_since is None:
            return False
        hold: float = HOLD
        if active is None:
            hold = self.recipe.response_timeout if self.recipe is not None else ANSWERED_BY
        return time.monotonic() - self.unrouted_since >= hold and self.idle(active)

    def given_up(self) -> int:
        """How many workers TorchServe doesn't start any more, nor has yet to by its own count."""
        retry = self.recipe.max_retry_timeout_in_sec if self.recipe is not None else UNSET
        return self._lost_for((TORCHSERVE_RETRY if retry is UNSET else retry) + LOST)

    def _lost_for(self, seconds: float) -> int:
        now = time.monotonic()
        return sum(now - since > seconds for since in self._lost.values())

    def memory(self) -> int:
        """Bytes that its workers hold, as measured last: at every turn of the loop it would cost too much."""
        now = time.monotonic()
        pids = [worker.pid for worker in self.workers if worker.status == "READY"]
        measured, of, _ = self._memory
        if pids != of or now - measured > MEASURED:
            self._memory = now, pids, sum(map(_resident, pids))
        return self._memory[2]

    def runtime(self, told: Path) -> str:
        """What executes it, as its workers have left word in the folder; "" where those of older archives
        haven't. Other processes may find something else."""
        found = self.execution(told)
        return str(found) if found is not None and self.ready else ""

    def execution(self, told: Path) -> Execution | None:
        """The same with all that they told; that of those that were READY last, while none is."""
        pids = [worker.pid for worker in self.workers if worker.status == "READY"]
        if pids and pids != self._execution[0]:
            self._execution = pids, execution.find(told, self.name, self.version)
        return self._execution[1]

    def device(self) -> str:
        return "gpu" if any(worker.gpu for worker in self.workers) else "cpu"


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
