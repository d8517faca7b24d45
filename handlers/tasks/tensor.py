"""tensor: raw outputs as they are."""

from __future__ import annotations

import torch

from handlers.answers import Values
from handlers.tasks.base import Task


class Tensor(Task):
    """For outputs that have no meaning of their own here: the caller gets the numbers."""

    def finish(self, output: torch.Tensor) -> Values:
        """Raw output of any shape -> nested lists."""
        return Values(output.tolist(), list(output.shape))
