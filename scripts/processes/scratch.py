"""Temporary folders that know whether their owner lives, so that those of the dead can be cleared away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from scripts.state import durable

PREFIX = "pthserve-"
OWNER = "owner.lock"


class Scratch:
    """A folder of our own below the temporary directory, until `remove`, or until `clear` finds us dead."""

    def __init__(self, kind: str = "") -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}"))
        unnamed = self.path / "lock"  # named when it is held: a name without a holder means a dead owner
        self._lock = unnamed.open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / OWNER)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def clear() -> list[str]:
    """End the processes and remove the folders that dead owners left; what was found, in words."""
    found = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not _abandoned(folder):
            continue
        ended = [_end(process) for process in _using(folder)]
        shutil.rmtree(folder, ignore_errors=True)
        found.append(f"cleared {folder}" + (f", ended {', '.join(ended)}" if ended else ""))
    return found


def _abandoned(folder: Path) -> bool:
    """Whether it is ours, and whoever made it is gone."""
    lock = folder / OWNER
    try:
        return lock.is_file() and lock.stat().st_uid == os.getuid() and not durable.held(lock)
    except OSError:
        return False


def _using(folder: Path) -> Iterator[psutil.Process]:
    """Our processes whose command line names the folder, which no others can know."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid() and any(str(folder) in word for word in process.cmdline()):
                yield process


def _end(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        process.kill()
        process.wait(5)
    return f"process {process.pid}"
