"""A program that must not outlive us: the kernel kills it when we die, however we die.

    python -I -S tether.py PARENT COMMAND...

becomes COMMAND, tied to the thread that started it (PR_SET_PDEATHSIG of prctl(2) means the thread, not the
process): start such programs from a thread that lives as long as the process, the main one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def tethered(command: Sequence[str | Path]) -> list[str]:
    """The words that start `command` tied to this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *map(str, command)]


def main(parent: int, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == parent:  # else it died before the line above
        os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
