"""A log that has grown large is put aside; its program writes into it until it is told to open a new one."""

from __future__ import annotations

import contextlib
from pathlib import Path

LARGEST = 20_000_000  # bytes
KEPT = 3


def put_aside(log: Path) -> bool:
    """Whether it was: as LOG.1, with LOG.2 and LOG.3 before it."""
    if not log.exists() or log.stat().st_size < LARGEST:
        return False
    for number in range(KEPT - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _aside(log, number).replace(_aside(log, number + 1))
    log.replace(_aside(log, 1))
    return True


def _aside(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
