"""The network as torch.export sees it: the ground of every runtime that isn't PyTorch's own."""

from __future__ import annotations

import re

import torch
from torch.export import Dim, ExportedProgram

from handlers.runtimes.quiet import quiet
from handlers.runtimes.setting import CantBuild, Material


def exported(material: Material) -> ExportedProgram:
    """With the dimensions that vary kept so; raises CantBuild."""
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(
                material.network, (material.example,), dynamic_shapes=(dynamic(material),)
            )
    except Exception as error:  # whatever the network's own code does that can't be traced
        told = in_a_line(error)
        if "Constraints violated" in told:
            told = "the network works in another way for some sizes of the batch"
        raise CantBuild(f"torch.export: {told}") from error
    if not program.call_spec.out_spec.is_leaf():
        raise CantBuild("the network returns something else than one tensor")
    return program


def dynamic(material: Material) -> dict[int, object]:
    """torch.export's description of the dimensions that vary.

    Any number of items must do, so a network that behaves otherwise for some is an error. Heights and
    widths may have a least value, below which the network itself fails.
    """
    return {index: Dim("items") if index == 0 else Dim.DYNAMIC for index in material.dynamic}


def in_a_line(error: BaseException) -> str:
    """The error's type and its first line that says something, without colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()
    told = next((line.strip() for line in lines if line.strip()), "")
    return f"{type(error).__name__}: {told}"[:300]
