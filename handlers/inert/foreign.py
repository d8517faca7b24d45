"""What stands for the objects that a pickle would have made, and the walk over a tree of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Foreign:
    """What a pickle would have made by importing `name`: the name alone, or called with `args`.

    `state` is what it would have been filled with (an object's attributes), `items` and `pairs` what
    would have been appended to it or set in it.
    """

    __slots__ = ("args", "items", "name", "pairs", "state")

    def __init__(self, name: str, args: tuple[Any, ...] | None = None) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"


def walk(root: Any) -> Iterator[Any]:
    """`root` and every value below it, in order, each object once.

    A tree from a hostile file may be cyclic, share its parts a billion times over, or be nested deeper
    than functions can call each other: this ends, in a time that fits the file's size.
    """
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting.extend(reversed(_parts(value)))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, Foreign):
        pairs = [part for pair in value.pairs for part in pair]
        return [*(value.args or ()), value.state, *value.items, *pairs]
    return []
