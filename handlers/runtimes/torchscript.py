"""TorchScript: the network traced, its weights frozen into it."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.recipe import Model
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("torch",)
FILE_NAME = "traced.pt"


def build(material: Material, setting: Setting, folder: Path) -> None:
    if isinstance(material.network, torch.jit.ScriptModule):
        raise CantBuild("the checkpoint is TorchScript already")
    with torch.no_grad():
        traced = torch.jit.trace(material.network, material.batch, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced), str(folder / FILE_NAME))


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    network = torch.jit.load(str(artifacts / FILE_NAME), map_location=setting.device)  # type: ignore[no-untyped-call]

    def run(batch: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = network(batch.to(setting.device))
        return output.to("cpu", torch.float32)

    return run
