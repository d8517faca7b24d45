"""How long a full batch takes here, measured on the samples by the worker that has just replayed them.

The supervisor makes of it how many requests the gateway lets in (scripts/serving/limits.py).
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from handlers.handler import Handler
from handlers.wire import Row

TRIES = 3
"""The best counts: other workers start at the same time."""

ENOUGH = 1.0
"""Seconds after which no other try begins: callers wait for this worker."""


def measured(handler: Handler, folder: Path) -> float:
    """Seconds from the rows of a full batch to its responses; 0 without samples. Raises DeviceLost."""
    rows = [
        Row({"body": (folder / sample.input).read_bytes()}, request_id=sample.input)
        for sample in handler.recipe.handler.samples
    ]
    if not rows:
        return 0.0
    full = [rows[index % len(rows)] for index in range(handler.recipe.batch_size)]
    begun, took = perf_counter(), list[float]()
    while len(took) < TRIES and perf_counter() - begun < ENOUGH:
        last = perf_counter()
        handler.batch(full)
        took.append(perf_counter() - last)
    return min(took)
