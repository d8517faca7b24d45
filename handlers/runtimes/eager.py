"""PyTorch itself: the reference that every other runtime has to equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from handlers.errors import ForwardFailed
from handlers.network import open_network
from handlers.recipe import Model


def open_runtime(recipe: Model, folder: Path, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """The loaded network as a function; raises BadRecipe or BadCheckpoint."""
    network = open_network(recipe, folder, device)

    def run(batch: torch.Tensor) -> torch.Tensor:
        output = network(batch)
        if not isinstance(output, torch.Tensor):
            raise ForwardFailed(
                f"the network returned a {type(output).__name__} instead of one tensor",
                hint="wrap it in model.py so that forward returns the tensor that matters",
            )
        return output

    return run
