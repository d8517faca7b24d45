"""Looking at what was taken: one pass on each version, then their difference, until enough is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty
from typing import TypeGuard

from handlers.recipe import Tolerance
from scripts.calling.inference import Reply
from scripts.shadowing import reading
from scripts.shadowing.collector import Collector, Mirrored
from scripts.shadowing.difference import Difference, difference
from scripts.shadowing.kept import Kept
from scripts.shadowing.passes import VERSION, Passes, Versions
from scripts.shadowing.tally import Tally

AT_ONCE = 2
"""Requests that are looked at; each is in one version's queue at a time."""

POLL = 0.2  # s

BROKEN = 500
"""A status from here on tells nothing where both versions have it."""


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

    def broken(self) -> bool:
        """Whether nothing can be looked at any more, though more was to be."""
        if self.finished() or self._stop.is_set():
            return False
        return not self.collector.alive() or not any(thread.is_alive() for thread in self._threads)

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
        serving = candidate = None
        try:
            serving = passes.ask(self.versions.serving, one)
            candidate = passes.ask(self.versions.candidate, one)
            found = compared(serving, candidate, one.protocol, self._tolerance)
        except Exception as error:  # a version may answer anything, and the next request is to be looked at
            found = Difference("uncompared", what=f"{type(error).__name__}: {error}"[:200])
        self.tally.add(found)
        if found.kind in ("equal", "unanswered"):
            return
        try:
            self._kept.offer(one, serving, candidate, found)
        except OSError as error:
            self.trouble = f"{self._kept.folder}: {error.strerror}"
        except Exception as error:
            self.trouble = f"{self._kept.folder}: {type(error).__name__}: {error}"


def compared(serving: Reply | None, candidate: Reply | None, protocol: str, allowed: Tolerance) -> Difference:
    """How two answers differ: whether there are any, their statuses, else what they say, else their bytes."""
    if not _answered(serving):
        if _answered(candidate):
            return Difference("serving_silent", what=f"the serving version: {_trouble(serving)}")
        return Difference("unanswered", what=f"{_trouble(serving)} and {_trouble(candidate)}")
    if not _answered(candidate):
        return Difference("candidate_silent", what=f"the candidate: {_trouble(candidate)}")
    if serving.status == candidate.status >= BROKEN:
        return Difference("unanswered", what=f"both versions: status {serving.status}")
    if serving.status != candidate.status:
        return Difference("status", what=f"status: {serving.status} and {candidate.status}")
    try:
        return difference(reading.read(serving, protocol), reading.read(candidate, protocol), allowed)
    except reading.Unreadable as error:
        if reading.content(serving) == reading.content(candidate):
            return Difference("equal")
        return Difference("form", what=f"bytes that can't be read ({error})")


def _answered(reply: Reply | None) -> TypeGuard[Reply]:
    """Whether a worker said that, and not TorchServe in its place."""
    return reply is not None and VERSION in reply.headers


def _trouble(reply: Reply | None) -> str:
    return f"TorchServe's own status {reply.status}" if reply is not None else "no answer in time"
