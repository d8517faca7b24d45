"""Draft: the text of a model.py, and what it leaves to its owner."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class Draft(Struct, frozen=True):
    """A model.py whose `name` (a class, or a function that returns the network) loads the weights."""

    source: str
    """Python text: imports, classes, docstrings, and a comment at whatever is to be confirmed."""
    name: str
    args: dict[str, Any]
    forward: Literal["known", "drafted", "missing"]
    """known: the builder's own. drafted: of a plain chain, to be confirmed. missing: raises
    NotImplementedError until the owner writes it."""
    unknown: tuple[str, ...]
    """What the owner has to confirm or to decide, a clause each, the weightiest first."""
    input_shape: tuple[int, ...] | None = None
    """Of one item, where the layers say it: (64,) before a Linear; None where they don't."""
    channels: int | None = None
    """Of pictures, where the first layer is a 2D convolution."""
    outputs: int | None = None
    """How many values the last layer gives, where there is one last layer."""
