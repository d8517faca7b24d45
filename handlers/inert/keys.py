"""Keys of dicts and members of sets: those that can be hashed without harm."""

from __future__ import annotations

from typing import Any

from handlers.inert.opcodes import BadPickle

MOST_COSTLY = 5_000
"""Keys that a file could choose so that their hashes collide, where each is compared with each."""

LONGEST = 16
"""Of a tuple as a key."""

DEEPEST = 3
"""Of tuples in tuples: hash() of one nested a million deep would overflow the C stack."""


class Keys:
    """Lets keys pass, and counts those that cost."""

    def __init__(self) -> None:
        self._costly = 0

    def checked(self, keys: list[Any]) -> list[Any]:
        """The same keys; raises BadPickle at one that may not be hashed, or too many that cost."""
        for key in keys:
            if not _is_cheap(key):
                self._costly += 1
                if not _is_flat(key, DEEPEST) or self._costly > MOST_COSTLY:
                    raise BadPickle(f"keys of an unusual kind ({type(key).__name__})")
        return keys


def _is_cheap(key: Any) -> bool:
    """What is hashed with a secret of this process, by identity, or to itself."""
    if isinstance(key, int):
        return abs(key) < 1 << 60
    if isinstance(key, tuple):
        return len(key) <= LONGEST and all(isinstance(item, str | bytes) for item in key)
    return isinstance(key, str | bytes) or key is None or _hashed_by_identity(key)


def _hashed_by_identity(key: object) -> bool:
    return getattr(type(key), "__hash__", None) is object.__hash__


def _is_flat(key: Any, depth: int) -> bool:
    if isinstance(key, tuple):
        return depth > 0 and len(key) <= LONGEST and all(_is_flat(item, depth - 1) for item in key)
    return isinstance(key, float | int | complex) or _is_cheap(key)
