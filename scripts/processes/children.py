"""Programs that a command starts and waits for, none of which may outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.errors import CommandError

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of our environment, what a program gets that should see nothing else of it (no PYTHONPATH above all)."""


def bare_environment(**more: str) -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more


class Children:
    """Runs programs to their end; `stop` ends those that still run, from whichever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The finished program with its output; raises CommandError once `stop` was called."""
        with self._lock:
            if self._stopped:
                raise CommandError("stopped")
            words = [str(word) for word in command]
            child = subprocess.Popen(
                words,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches us alone, and we end what it started as a group
            )
            self._running.add(child)
        try:
            out, err = child.communicate()
        finally:
            with self._lock:
                self._running.discard(child)
        if self._stopped:
            raise CommandError("stopped")
        return subprocess.CompletedProcess(words, child.returncode, out, err)

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


def kill_group(leader: int, number: signal.Signals) -> None:
    """Signal the process group that `leader` began; nothing when it has gone already."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
