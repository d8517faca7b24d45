"""A pickle read as inert values: its opcodes are followed, nothing that it names is imported or called."""

from __future__ import annotations

from typing import Any


class Foreign:
    """What a pickle would have made by importing `name`: the name alone, or called with `args`.

    `state` is what it would have been filled with (an object's attributes), `items` and `pairs` what
    would have been appended to it or set in it.
    """

    def __init__(self, name: str, args: tuple[Any, ...] | None = None) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"
