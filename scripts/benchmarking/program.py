"""A program that a benchmark starts, loads, and ends with everything it started in turn."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts.errors import CommandError
from scripts.places import ROOT
from scripts.processes.children import bare_environment, kill_group
from scripts.processes.tether import tethered

START_TIMEOUT = 180.0  # s; importing torch beside others on two busy cores
STOP_TIMEOUT = 40.0  # s; `up` drains
POLL = 0.02  # s


class Program:
    """One running program: what it says goes to a log, or, where it is asked line by line, to us."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        asked: bool = False,
    ) -> None:
        """Start it, from the main thread (see tether.py); `asked`: by `tell` and `hear`."""
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                tethered(command),
                cwd=ROOT,
                env=bare_environment(**(env or {})),
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE if asked else output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end what it started as a group
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: `hear` says why
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def hear(self) -> str:
        """The next line that it says; raises CommandError when it ends instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(STOP_TIMEOUT)
            raise self._ended()
        return line.decode().strip()

    def wait(self, fact: Callable[[], bool], timeout: float = START_TIMEOUT) -> None:
        """Until the fact; raises CommandError when the program ends instead, or too much time passes."""
        deadline = time.monotonic() + timeout
        while not fact():
            if self._process.poll() is not None:
                raise self._ended()
            if time.monotonic() > deadline:
                raise CommandError(f"{self.name} isn't there after {timeout:.0f} s:\n{self.tail()}")
            time.sleep(POLL)

    def tail(self, lines: int = 20) -> str:
        """The end of its log, for a message."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, then make it and its children."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT)
        kill_group(self.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _ended(self) -> CommandError:
        return CommandError(f"{self.name} ended with status {self._process.returncode}:\n{self.tail()}")
