"""Programs that a command starts and waits for, none of which may outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from scripts.errors import CommandError
from scripts.processes.tether import tethered

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of our environment, what a program gets that should see nothing else of it (no PYTHONPATH above all)."""


LONGEST = 1 << 20
"""Bytes of a program's output that are kept."""


def bare_environment(**more: str) -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more


class Children:
    """Runs programs to their end; `stop` ends those that still run, from whichever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The finished program with its output; raises CommandError once `stop` was called.

        What the program itself started, and left running, is ended with it.
        """
        words = [str(word) for word in command]
        # files: a pipe has no end as long as anything that the program left running holds it
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = self._start(words, env, cwd, out, err)
            try:
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its number stays taken till `_end`
            finally:
                self._end(child)
            if self._stopped:
                raise CommandError("stopped")
            return subprocess.CompletedProcess(words, child.returncode, _end_of(out), _end_of(err))

    def _start(
        self,
        words: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        out: IO[bytes],
        err: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise CommandError("stopped")
            child = subprocess.Popen(
                tethered(words),
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end what it started as a group
            )
            self._running.add(child)
            return child

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(child)
        kill_group(child.pid, signal.SIGKILL)
        child.wait()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every running program and its own children; no new one is started."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                kill_group(child.pid, signal.SIGKILL)


def _end_of(output: IO[bytes]) -> str:
    """What a program printed; of very much, the end."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - LONGEST))
    return output.read().decode("utf-8", "replace")


def kill_group(leader: int, number: signal.Signals) -> None:
    """Signal the process group that `leader` began; nothing when it has gone already."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
