"""Many files through one way: a bounded number of requests in flight, the answers in the files' order."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from msgspec import Struct

from scripts.calling.refused import NoServer, Refused
from scripts.calling.ways import Way
from scripts.errors import CommandError

TRIES = 6
LOOK = 0.5  # s between two looks whether somebody wants to stop
LONGEST_WAIT = 30.0  # s; however long Retry-After says
RECONNECT = 1.0  # s; a gateway that restarts is back by then, or a few tries later

CROWDED = ("overloaded", "rate_limited")
"""Codes of refusals for which others' requests, and ours, are to blame: they take none of the tries."""

PATIENCE = 600.0  # s; for a place in the crowd

AHEAD = 4
"""Answers that may wait for a slow one before them, for each request in flight."""

FOR_ALL = (401, 403, 404)
"""Statuses that no file is to blame for: the next one would get the same."""


class Input(Struct, frozen=True):
    """One file that is to be scored, and how it is called in the output."""

    name: str
    path: Path


class Scored(Struct, frozen=True):
    """An input with the answer's JSON, or with why it has none."""

    name: str
    answer: bytes | CommandError


def inputs(folder: Path) -> list[Input]:
    """Every file below the folder, sorted by name; raises CommandError when there is none, or OSError.

    What begins with a dot is left out, also pipes and the like, and links to folders aren't followed; a link
    to nothing is one that can't be read.
    """
    found = []
    for root, folders, files in os.walk(folder, onerror=_fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in files if not name.startswith(".")]
    readable = (path for path in found if path.is_file() or not path.exists())
    named = [Input(path.relative_to(folder).as_posix(), path) for path in readable]
    if not named:
        raise CommandError(f"{folder} holds no files", hint="hidden ones don't count")
    return sorted(named, key=lambda one: one.name)


def _fail(error: OSError) -> None:
    raise error


def score(
    wanted: Sequence[Input], way: Way, jobs: int, interrupted: threading.Event | None = None
) -> Iterator[Scored]:
    """Each input's answer, in order, as soon as the order allows. A file is read when it is sent.

    Raises what no single file is to blame for: NoServer, or Refused with a status of FOR_ALL; and
    KeyboardInterrupt soon after `interrupted` is set.
    """
    interrupted = interrupted or threading.Event()
    waiting: deque[Future[Scored]] = deque()
    with Crew(min(jobs, len(wanted))) as crew:
        scorer = _Scorer(way, crew.ended)
        for one in wanted:
            waiting.append(crew.begin(partial(scorer.score, one)))
            if len(waiting) >= jobs * AHEAD:
                yield _awaited(waiting.popleft(), interrupted)
        while waiting:
            yield _awaited(waiting.popleft(), interrupted)


def _awaited(future: Future[Scored], interrupted: threading.Event) -> Scored:
    while not future.done():
        wait([future], LOOK)
        if interrupted.is_set():
            raise KeyboardInterrupt
    return future.result()


class Crew:
    """Threads that don't keep the program from ending: after Ctrl-C nobody waits for an answer."""

    def __init__(self, size: int) -> None:
        self.ended = threading.Event()
        self._size = size
        self._todo: SimpleQueue[tuple[Future[Scored], Callable[[], Scored]]] = SimpleQueue()

    def begin(self, job: Callable[[], Scored]) -> Future[Scored]:
        future: Future[Scored] = Future()
        self._todo.put((future, job))
        return future

    def __enter__(self) -> Crew:
        for _ in range(self._size):
            threading.Thread(target=self._work, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        for _ in range(self._size):  # those that wait for a job see that there won't be one
            self.begin(_nothing)

    def _work(self) -> None:
        while True:
            future, job = self._todo.get()
            if self.ended.is_set():
                return
            try:
                future.set_result(job())
            except Exception as error:
                future.set_exception(error)


def _nothing() -> Scored:
    return Scored("", b"")


class _Scorer:
    """Scores one file at a time in each thread; they share what is known of the server."""

    def __init__(self, way: Way, ended: threading.Event) -> None:
        self._way = way
        self._ended = ended
        self._answered = False

    def score(self, one: Input) -> Scored:
        try:
            return Scored(one.name, self._patiently(one.path.read_bytes()))
        except OSError as error:
            return Scored(one.name, CommandError(f"can't be read ({error.strerror})"))
        except Refused as error:
            if error.status in FOR_ALL:
                raise
            return Scored(one.name, error)

    def _patiently(self, body: bytes) -> bytes:
        """The answer; where the server asks for patience, or was there a moment ago, after a few tries."""
        left, until = TRIES, time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._way.answer(body, uuid.uuid4().hex)
                self._answered = True
                return answer
            except (Refused, NoServer) as error:
                pause = self._pause(error)
                if error.code not in CROWDED or time.monotonic() > until:
                    left -= 1
                if pause is None or not left or self._ended.wait(min(pause, LONGEST_WAIT)):
                    raise

    def _pause(self, error: Refused | NoServer) -> float | None:
        """Seconds until the next try makes sense; None when it doesn't."""
        if isinstance(error, Refused):
            self._answered = True
            return error.retry_after
        return RECONNECT if self._answered else None
