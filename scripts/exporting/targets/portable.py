"""An exported file, opened by its own runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Array: TypeAlias = npt.NDArray[np.generic]
Values: TypeAlias = npt.NDArray[np.float32]


class Portable(Struct, frozen=True):
    """Runs a batch, and knows what the file itself calls its input and its output."""

    run: Callable[[Array], Values]
    """[items, ...] -> raw outputs [items, ...]."""
    input_name: str | None = None
    """None where inputs have no names, only an order."""
    output_name: str | None = None


def as_float32(output: Any) -> Values:
    """A runtime's output as an array of our own, which its next run doesn't change."""
    return np.array(output, dtype=np.float32)
