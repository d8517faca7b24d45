"""Trial: a staged archive as far as its steps have opened it."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from handlers import recipe
from handlers.handler import Handler
from handlers.recipe import Model
from handlers.runtimes import Opened
from handlers.tasks import Task
from scripts.checking.steps.passes import Watched


class NotTried(Exception):
    """A step has nothing to go by; why, in a few words."""


def not_tried(behind: str) -> str:
    """Why a step is left out whose ground another one took away."""
    return f"not tried: {behind} didn't pass"


def named(error: BaseException) -> str:
    """An error on one line: its kind, and the first line of what it says."""
    told = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


class Trial:
    """What each step leaves to the next: an attribute is there once the step that sets it has passed."""

    task: Task
    opened: Opened
    """Eager float32, whatever serves."""
    serving: Opened
    """What a worker executes."""
    device: torch.device
    """Where it does."""
    example: torch.Tensor
    """One input as the network gets it, without the batch dimension."""
    output: torch.Tensor
    """What the network gives for it: float32, without the batch dimension."""
    entered: list[tuple[nn.Module, bool]]
    """The modules that a forward pass went through, each with whether it was in training mode then."""
    watched: Watched
    """What was seen of forward passes, once that was looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = recipe.load(folder)
        self.recorded: list[str] = []
        """Names of answers that were recorded, for samples that had none."""
        self.seconds: dict[int, float] = {}
        """How long the latest forward pass took, by the size of its batch."""
        self.failed: list[str] = []
        """The steps that failed so far."""

    @property
    def model(self) -> Model:
        return self.recipe.handler

    @property
    def patience(self) -> int:
        """s that one step may take: TorchServe gives no worker more, to start or to answer."""
        return max(self.recipe.startup_timeout, self.recipe.response_timeout)

    @property
    def network(self) -> nn.Module:
        """The module that a forward pass enters first."""
        return self.entered[0][0]

    @property
    def handler(self) -> Handler:
        """The reference, as Handler.open makes it, of parts that were opened one by one."""
        return Handler(self.recipe, self.task, self.opened, torch.device("cpu"))

    @property
    def served(self) -> Handler:
        """The same with what a worker executes."""
        return Handler(self.recipe, self.task, self.serving, self.device)

    def first(self, *items: torch.Tensor) -> torch.Tensor:
        """The first item's output in a batch of these."""
        return self.outputs(*items)[0]

    def outputs(self, *items: torch.Tensor) -> torch.Tensor:
        """The outputs of a batch of these."""
        began = perf_counter()
        outputs = self.handler.forward(torch.stack(items))
        self.seconds[len(items)] = perf_counter() - began
        return outputs

    def require(self, *names: str) -> None:
        """Raises NotTried for a file that isn't there: that is somebody else's finding."""
        for name in names:
            if not (self.folder / name).is_file():
                raise NotTried(f"{name} isn't there")
