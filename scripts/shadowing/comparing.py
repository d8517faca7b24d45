"""Looking at what was taken: one pass on each version, then their difference, until enough is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty

from handlers.recipe import Tolerance
from scripts.calling.inference import Reply
from scripts.shadowing import reading
from scripts.shadowing.collector import Collector, Mirrored
from scripts.shadowing.difference import Difference, difference
from scripts.shadowing.kept import Kept
from scripts.shadowing.passes import BUSY, Passes, Versions
from scripts.shadowing.tally import Tally

AT_ONCE = 2
"""Requests that are looked at; each is in one version's queue at a time."""

POLL = 0.2  # s

BROKEN = 500
"""Statuses from here on are no answers."""


class Comparing:
    """Threads that take from a collector, from `start` to `stop`."""

    def __init__(
        self,
        collector: Collector,
        versions: Versions,
        passes: Callable[[], Passes],
        tolerance: Tolerance,
        kept: Kept,
        limit: int | None,
    ) -> None:
        """`limit`: how many requests are looked at, at most."""
        self.tally = Tally()
        self.trouble = ""
        """Why nothing is kept any more."""
        self.collector = collector
        self.versions = versions
        self._passes = passes
        self._tolerance = tolerance
        self._kept = kept
        self._places = limit if limit is not None else -1  # left; below 0 without end
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._look, daemon=True) for _ in range(AT_ONCE)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finished(self) -> bool:
        """Whether the limit is reached."""
        return self._places == 0 and not any(thread.is_alive() for thread in self._threads)

    def stop(self, patience: float) -> None:
        """What is being looked at is finished, for as long as that may take."""
        self._stop.set()
        for thread in self._threads:
            thread.join(patience)

    def _look(self) -> None:
        passes = self._passes()
        try:
            while self._place():
                one = self._next()
                if one is None:
                    return
                self._compare(passes, one)
        finally:
            passes.close()

    def _place(self) -> bool:
        """Whether there is room for one more."""
        with self._lock:
            if self._places == 0:
                return False
            self._places -= 1
            return True

    def _next(self) -> Mirrored | None:
        while not self._stop.is_set():
            try:
                return self.collector.taken.get(timeout=POLL)
            except Empty:
                continue
        return None

    def _compare(self, passes: Passes, one: Mirrored) -> None:
        serving = passes.ask(self.versions.serving, one)
        candidate = passes.ask(self.versions.candidate, one)
        found = compared(serving, candidate, one.protocol, self._tolerance)
        self.tally.add(found)
        if serving is not None and candidate is not None and found.kind not in ("equal", "unanswered"):
            try:
                self._kept.offer(one, serving, candidate, found)
            except OSError as error:
                self.trouble = f"{self._kept.folder}: {error.strerror}"


def compared(serving: Reply | None, candidate: Reply | None, protocol: str, allowed: Tolerance) -> Difference:
    """How two answers differ: their statuses, else what they say, else their bytes."""
    if serving is None or serving.status in BUSY:
        return Difference("unanswered", what=f"the serving version: {_trouble(serving)}")
    if candidate is None or candidate.status in BUSY:
        return Difference("unanswered", what=f"the candidate: {_trouble(candidate)}")
    if serving.status == candidate.status >= BROKEN:
        return Difference("unanswered", what=f"both versions: {_trouble(serving)}")
    if serving.status != candidate.status:
        return Difference("status", what=f"status: {serving.status} and {candidate.status}")
    try:
        return difference(reading.read(serving, protocol), reading.read(candidate, protocol), allowed)
    except reading.Unreadable as error:
        if serving.body == candidate.body:
            return Difference("equal")
        return Difference("form", what=f"bytes that can't be read ({error})")


def _trouble(reply: Reply | None) -> str:
    return f"status {reply.status}" if reply is not None else "no answer in time"
