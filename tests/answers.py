"""Comparing answers that came different ways."""

from __future__ import annotations

from typing import Any


def largest_difference(first: Any, second: Any) -> float:
    """Between numbers at the same places; everything else must be equal."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) / max(1.0, abs(first))
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        return max((largest_difference(first[key], second[key]) for key in first), default=0.0)
    if isinstance(first, list):
        assert len(first) == len(second)
        return max((largest_difference(a, b) for a, b in zip(first, second, strict=True)), default=0.0)
    assert first == second
    return 0.0
