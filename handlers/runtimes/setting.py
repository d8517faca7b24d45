"""What every runtime is built from and opened with, and what it then is: a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from msgspec import Struct
from torch import nn

from handlers.recipe import Precision

Runtime: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""A batch [items, ...] on the CPU -> raw outputs [items, ...], float32 on the CPU."""

Option: TypeAlias = Literal["channels_last", "cuda_graphs"]
"""What eager may be tried with besides."""


class CantBuild(Exception):
    """This runtime can't execute this network here; why, for the table of the decision."""


class Setting(Struct, frozen=True):
    """How a network is executed: where, by how many threads, how exactly."""

    device: torch.device
    threads: int
    precision: Precision = "float32"
    options: tuple[Option, ...] = ()

    def only(self, *precisions: Precision, cuda: bool = False) -> None:
        """What a runtime can do; raises CantBuild when something else is asked."""
        if self.precision not in precisions:
            raise CantBuild(f"no {self.precision} here")
        if self.device.type != "cpu" and not cuda:
            raise CantBuild("executes on the CPU alone")


class Material(Struct, frozen=True):
    """What a runtime's artifacts are built from: the reference itself, and inputs to trace it with."""

    network: nn.Module
    """Loaded, in eval mode, on the CPU, float32."""
    batch: torch.Tensor
    """A full batch of prepared inputs [items, ...]."""
    dynamic: tuple[int, ...] = (0,)
    """Dimensions of the batch that vary: the items; height and width, too, where any size is taken."""
    calibration: Sequence[torch.Tensor] = ()
    """For int8: prepared inputs, without the batch dimension."""

    @property
    def example(self) -> torch.Tensor:
        """The batch, of at least two items: what is traced with one is made for one."""
        return self.batch if len(self.batch) > 1 else torch.cat([self.batch, self.batch])
