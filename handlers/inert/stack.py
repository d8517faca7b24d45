"""The stack, marks and memo of an unpickler, as in Python's own (Lib/pickle.py)."""

from __future__ import annotations

from typing import Any

MOST_MEMO = 1 << 32
"""Indices that pickles use; larger ones could be chosen to collide in a dict."""


class Stack:
    """Values; those above the last mark are in reach. Raises IndexError where there are too few."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    @property
    def top(self) -> Any:
        return self._values[-1]

    @top.setter
    def top(self, value: Any) -> None:
        self._values[-1] = value

    def push(self, value: Any) -> None:
        self._values.append(value)

    def pop(self) -> Any:
        return self._values.pop()

    def last(self, size: int) -> list[Any]:
        """The last `size` values, taken off."""
        return [self.pop() for _ in range(size)][::-1]

    def mark(self) -> None:
        self._outer.append(self._values)
        self._values = []

    def marked(self) -> list[Any]:
        """The values above the last mark, taken off with it."""
        values, self._values = self._values, self._outer.pop()
        return values

    def drop(self) -> None:
        """Take off one value, or a mark with nothing above it."""
        if self._values:
            self.pop()
        else:
            self.marked()

    def put(self, index: int | None) -> None:
        """Remember the top under `index`, or under the next free one."""
        if index is not None and not 0 <= index < MOST_MEMO:
            raise IndexError("a memo index out of bounds")
        self._memo[len(self._memo) if index is None else index] = self.top

    def get(self, index: int) -> None:
        self.push(self._memo[index])
