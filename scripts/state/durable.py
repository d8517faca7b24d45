"""Files that survive whatever happens while they are written, and locks that end with their holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOOK = 0.2  # s that a look at a lock may take at most


def replace(path: Path, content: bytes, *, sync: bool = True) -> None:
    """The file has its old content or its new one, at every moment; with `sync`, after a power cut too.

    For one writer at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.new")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock, which the kernel gives back if we die; without `wait`, False if another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if wait:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield wait or _take(file)


def _take(file: IO[bytes]) -> bool:
    """Whether the lock could be had; somebody who only looks (`held`) is waited for."""
    deadline = time.monotonic() + LOOK
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK / 20)


def held(path: Path) -> bool:
    """Whether somebody holds the lock now."""
    if not path.exists():
        return False
    with path.open("rb") as file:  # to look needs no right to write
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
