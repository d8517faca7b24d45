"""How many workers a model gets on this machine: workers times threads fill its cores once."""

from __future__ import annotations

import psutil
from msgspec import Struct

from handlers.cores import cores

WORKER = 700 * 2**20
"""Bytes of memory of a worker besides the weights, which its neighbours share: torch and torchvision."""

MOST = 4
"""A fifth worker seldom answers more than threads would, and costs as much memory as the first."""


class Sizing(Struct, frozen=True):
    """Worker processes, and the threads that handlers.cores gives each."""

    workers: int
    threads: int


def sizing(processors: int | None = None, memory: int | None = None) -> Sizing:
    """As many workers as divide the cores evenly and fit into half of the free memory [bytes]."""
    processors = cores() if processors is None else processors
    memory = psutil.virtual_memory().available if memory is None else memory
    most = max(1, min(MOST, processors, memory // 2 // WORKER))
    workers = max(count for count in range(1, most + 1) if processors % count == 0)
    return Sizing(workers, processors // workers)
