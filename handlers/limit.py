"""How many items a pass may have: fewer where memory ran out, more again when it has gone well for long."""

from __future__ import annotations

PATIENCE = 200
"""Passes at the limit without a shortage, before twice as many are tried: memory may be free again."""


class Limit:
    """Of one worker, from the recipe's batchSize down to 1."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._passed = 0
        self.size = most
        """Items of the next pass."""
        self.shortages = 0
        """Times that memory ran out."""

    def short(self, items: int) -> None:
        """A pass with so many ran out of memory: half of them at most from now on.

        One that doesn't fit alone says nothing of others.
        """
        self.shortages += 1
        if items > 1:
            self._passed = 0
            self.size = min(self.size, items // 2)

    def passed(self, items: int) -> None:
        """A pass with so many went well."""
        if self.size == self._most or items < self.size:
            return
        self._passed += 1
        if self._passed == PATIENCE:
            self._passed = 0
            self.size = min(self._most, 2 * self.size)
