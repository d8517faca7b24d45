"""One batch, done: its responses, how long each phase took, and what became of each item.

reading    wire.read of every row
preparing  task.prepare of every item
network    stacking, the copy to the device, the runtime, and the copy back
finishing  task.finish of every output, and wire.write of every response
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Literal, TypeAlias

from msgspec import Struct

from handlers.errors import OutOfMemory, Refusal
from handlers.wire import Outcome, Response

Phase: TypeAlias = Literal["reading", "preparing", "network", "finishing"]

OK = "ok"
"""The code of an item whose answer was sent."""


class Batch(Struct, frozen=True):
    """`seconds` has every phase; `items` counts by code: "ok", or that of the error that was sent."""

    responses: list[Response]
    seconds: Mapping[Phase, float]
    items: Mapping[str, int]
    shortages: int = 0
    """Passes that ran out of memory."""


class Stopwatch:
    """Seconds of each phase, from one `lap` to the next."""

    def __init__(self) -> None:
        self.seconds: dict[Phase, float] = {}
        self._last = perf_counter()

    def lap(self, phase: Phase) -> None:
        """What went by since the last one, or since the start, was this phase."""
        now = perf_counter()
        self.seconds[phase] = now - self._last
        self._last = now


def codes(response: Response, outcomes: Sequence[Outcome]) -> list[str]:
    """One for each item of a request, as its caller was told; what nobody is told is "internal".

    A good item of a list that was refused for its neighbours has the code of the whole, "bad_items".
    """
    if response.status == 200:
        return [OK] * len(outcomes)
    whole = "bad_items" if response.status < 500 else "internal"
    return [_told(outcome) if isinstance(outcome, Refusal) else whole for outcome in outcomes]


def _told(error: Refusal) -> str:
    return error.code if error.status < 500 or isinstance(error, OutOfMemory) else "internal"
