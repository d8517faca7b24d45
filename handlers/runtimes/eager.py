"""PyTorch itself: the reference that every other runtime has to equal."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.errors import ForwardFailed
from handlers.network import open_network
from handlers.recipe import Model
from handlers.runtimes.setting import Material, Runtime, Setting

LIBRARIES = ("torch",)


def build(material: Material, setting: Setting, folder: Path) -> None:
    """Nothing: the checkpoint is all that it needs."""


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    """The loaded network as a function; raises BadRecipe or BadCheckpoint."""
    network = open_network(model, folder, setting.device)
    channels_last = "channels_last" in setting.options
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(batch: torch.Tensor) -> torch.Tensor:
        given = batch.to(setting.device)
        if channels_last and given.dim() == 4:
            given = given.contiguous(memory_format=torch.channels_last)
        with torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.precision == "bfloat16"):
            output = network(given)
        if not isinstance(output, torch.Tensor):
            raise ForwardFailed(
                f"the network returned a {type(output).__name__} instead of one tensor",
                hint="wrap it in model.py so that forward returns the tensor that matters",
            )
        return output.to("cpu", torch.float32)

    return run
