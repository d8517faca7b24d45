"""regress: raw outputs -> values in the target's own unit."""

from __future__ import annotations

import torch
from msgspec import UNSET

from handlers.answers import Regression
from handlers.errors import ForwardFailed
from handlers.tasks.base import Task, shortest


class Regress(Task):
    """values = raw output [values] * std + mean, where the recipe gives them."""

    def finish(self, output: torch.Tensor) -> Regression:
        """Raw output [values], or a single number -> its values."""
        wanted = self.recipe.output
        if output.dim() > 1:
            raise ForwardFailed(
                f"regress needs a list of values, the network gave the shape {list(output.shape)}",
                hint="use the task tensor, or a task.py of your own",
            )
        values = output.reshape(-1)
        if wanted.mean is not UNSET and wanted.std is not UNSET:
            values = values * torch.tensor(wanted.std) + torch.tensor(wanted.mean)
        names = [] if wanted.names is UNSET else wanted.names
        if names and len(names) != len(values):
            raise ForwardFailed(
                f"handler.output.names has {len(names)} names, the network gave {len(values)} values",
                hint="give one name for each output",
            )
        return Regression(shortest(values.numpy()), names)
