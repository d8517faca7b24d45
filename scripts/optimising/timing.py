"""How long each candidate takes, all of them by turns: what disturbs the machine disturbs them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch

Run = Callable[[torch.Tensor], object]

EACH = 0.5  # s of measuring for each candidate and batch
TURN = 0.02  # s of calls in a row, before it is the next one's turn
ROUNDS = 3  # at least, unless time runs out


class Clock:
    """The seconds that each candidate's best call of a turn took, batch by batch.

    The first look at each only says how many calls make a turn, and counts where no time is left for more.
    """

    def __init__(self, runs: Sequence[Run], batches: Sequence[torch.Tensor]) -> None:
        self._runs = runs
        self._batches = batches
        self._took: list[list[list[float]]] = [[[] for _ in batches] for _ in runs]

    def measure(self, deadline: float, seconds: float = EACH) -> Iterator[int]:
        """The index of each candidate whose turn comes, before it comes, until time.monotonic's deadline."""
        for index, batch in enumerate(self._batches):
            for number, run in enumerate(self._runs):
                yield number
                self._took[number][index].append(_seconds(run, batch))
        for index, batch in enumerate(self._batches):
            share = (deadline - time.monotonic()) / (len(self._batches) - index)
            until = time.monotonic() + min(share, seconds * len(self._runs))
            yield from self._rounds(index, batch, until, time.monotonic() + share)

    def _rounds(self, index: int, batch: torch.Tensor, until: float, latest: float) -> Iterator[int]:
        done = 0
        while time.monotonic() < (until if done >= ROUNDS else latest):
            for number, run in enumerate(self._runs):
                if time.monotonic() >= latest:
                    return
                yield number
                turns = self._took[number][index]
                turns.append(_turn(run, batch, turns[0]))
            done += 1

    def medians(self) -> list[list[float]]:
        """ms of one call, for each candidate and each batch: of the best of each turn the median."""
        return [[statistics.median(turns[1:] or turns) * 1000 for turns in batches] for batches in self._took]


def _turn(run: Run, batch: torch.Tensor, call: float) -> float:
    """Seconds of the best call: the first finds the caches full of the others' memory, and what else runs on
    the machine takes its time from some. `call` is how long one takes, about."""
    calls = max(1 if call > TURN else 2, int(TURN / max(call, 1e-6)))
    return min(_seconds(run, batch) for _ in range(calls))


def _seconds(run: Run, batch: torch.Tensor) -> float:
    began = time.perf_counter()
    run(batch)
    return time.perf_counter() - began
