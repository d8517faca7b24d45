"""The network as torch.export sees it: the ground of every runtime that isn't PyTorch's own."""

from __future__ import annotations

import torch
from torch.export import Dim, ExportedProgram

from handlers.runtimes.setting import CantBuild, Material


def exported(material: Material) -> ExportedProgram:
    """With the dimensions that vary kept so; raises CantBuild."""
    try:
        with torch.no_grad():
            return torch.export.export(
                material.network, (material.batch,), dynamic_shapes=(dynamic(material),)
            )
    except Exception as error:  # whatever the network's own code does that can't be traced
        told = next(iter(str(error).strip().splitlines()), "")
        raise CantBuild(f"torch.export: {type(error).__name__}: {told}") from error


def dynamic(material: Material) -> dict[int, object]:
    """torch.export's description of the dimensions that vary."""
    return {index: Dim("items") if index == 0 else Dim.AUTO for index in material.dynamic}
