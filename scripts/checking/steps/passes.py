"""What was seen of forward passes."""

from __future__ import annotations

import torch
from msgspec import Struct


class Call(Struct, frozen=True):
    """One call: what was called, by which line, in which module."""

    what: str
    line: str
    module: str

    def __str__(self) -> str:
        return f"{self.what} in {self.module} ({self.line})" if self.line else f"{self.what} in {self.module}"


class Normalised(Struct, frozen=True):
    """What entered a BatchNorm with running statistics: mean squares over batch and place, by channel."""

    module: str
    seen: torch.Tensor
    """float64 [channels]"""
    places: int
    """How many values of each channel these are of."""
    mean: torch.Tensor
    """float64 [channels], as training saw it"""
    var: torch.Tensor
    """float64 [channels], as training saw it"""


class Watched(Struct):
    """What was seen over some forward passes."""

    inputs: list[torch.Tensor]
    """What went in, without the batch dimension."""

    random: list[Call]
    """Calls whose result is another each time."""
    by_batch: list[Call]
    """BatchNorm that normalised by the batch at hand."""
    norms: list[Normalised]
    """The BatchNorm that was entered first, once for each pass."""
    outputs: list[torch.Tensor]
    """What came out, without the batch dimension."""
    changed: list[str]
    """Names of buffers whose values a pass changed."""
