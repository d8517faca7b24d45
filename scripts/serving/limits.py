"""How many requests of a version are in flight at most, from what its workers measured of themselves.

    what runs, and as much again         so that each worker finds its next batch complete
    + what is answered in gateway_wait   a burst waits so long rather than be refused

More wouldn't be answered sooner: it would wait longer.
"""

from __future__ import annotations

import math

from msgspec import UNSET

from handlers.cores import cores, threads
from handlers.execution import Execution
from handlers.recipe import Recipe


def requests(recipe: Recipe, workers: int, execution: Execution | None, *, wait: float, queue: int) -> int:
    """Of one protocol, none of which waits longer than `wait` seconds and a batch; and what TorchServe's
    `queue` takes.

    0, no limit but TorchServe's queue, where nothing was measured, or it may wait however long.
    """
    running = workers * recipe.batch_size
    if recipe.job_queue_size is not UNSET:
        return running + recipe.job_queue_size
    if not wait or not running or execution is None or execution.batch_seconds <= 0:
        return 0
    waiting = math.ceil(capacity(recipe, workers, execution.batch_seconds) * wait)
    return min(rounded(2 * running + waiting), running + queue)


def capacity(recipe: Recipe, workers: int, batch_seconds: float) -> float:
    """Requests a second of one item each: workers that share the cores are no faster together."""
    crowded = max(1.0, workers * threads(recipe) / cores())
    return workers * recipe.batch_size / batch_seconds / crowded


def rounded(number: int) -> int:
    """Up to two significant bits: two measurements of the same thing mostly come to the same."""
    step = 1 << max(0, number.bit_length() - 2)
    return -(-number // step) * step
