"""Pauses between the tries of something that keeps failing: each twice as long as the one before."""

from __future__ import annotations

import time


class Pauses:
    """`first`, then twice that, and so on up to `longest` seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.tries = 0  # in a row
        self.until = 0.0  # monotonic

    def over(self) -> bool:
        return time.monotonic() >= self.until

    def begin(self) -> None:
        """It was tried once more."""
        pause = self._first * 2 ** min(self.tries, 10)  # a bound, or it overflows after days
        self.until = time.monotonic() + min(pause, self._longest)
        self.tries += 1

    def forget(self) -> None:
        """All is well: the next failure is the first."""
        self.tries, self.until = 0, 0.0
