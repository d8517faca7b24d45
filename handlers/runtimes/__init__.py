"""What executes the network, one file each: `open` gives a Runtime for a recipe's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch

from handlers.recipe import Model
from handlers.runtimes import eager

Runtime: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""A batch [items, ...] on the device -> raw outputs [items, ...] on the device."""


def open_runtime(recipe: Model, folder: Path, device: torch.device) -> Runtime:
    """The runtime that the recipe asks for; `auto` is eager as long as nothing else was proven equal."""
    return eager.open_runtime(recipe, folder, device)
