"""Making: a candidate's artifacts, opened and held to the gate."""

from __future__ import annotations

import itertools
import shutil
import traceback
from pathlib import Path

import torch

from handlers import runtimes
from handlers.cores import threads
from handlers.errors import SampleMismatch
from handlers.handler import Handler
from handlers.network import open_network
from handlers.runtimes import Material, Opened, Setting
from handlers.runtimes.decision import EAGER, Candidate, Tried
from handlers.runtimes.setting import CantBuild
from scripts.optimising import gate
from scripts.optimising.ground import Ground

PARTIAL = ".partial"
"""The folder of what is being built: one with its own name is whole."""


class Making:
    """For one model; what was built by an interpreter before this one isn't built again."""

    def __init__(self, ground: Ground, folder: Path, built: Path) -> None:
        self._ground = ground
        self._folder = folder
        self._built = built
        self._material: Material | None = None

    def passed(self, one: Candidate) -> tuple[Handler, Tried]:
        """The candidate as a handler, with how close it came; raises CantBuild, SampleMismatch, or whatever
        its library raises."""
        artifacts = self._artifacts(one)
        size = sum(path.stat().st_size for path in artifacts.rglob("*") if path.is_file())
        if one == EAGER and not size:
            return self._ground.handler, Tried(one, "kept", error=0.0)
        truth = self._ground.handler
        with torch.inference_mode():
            run = runtimes.named(one.runtime).open_runtime(
                truth.recipe.handler, self._folder, self._setting(one), artifacts
            )
        handler = Handler(truth.recipe, truth.task, Opened(run, one), truth.device)
        proven = gate.prove(handler, self._ground, self._folder)
        return handler, Tried(one, "kept", error=proven.error, agreement=proven.agreement, bytes=size)

    def remove(self, one: Candidate) -> None:
        shutil.rmtree(self._built / one.folder, ignore_errors=True)

    def _artifacts(self, one: Candidate) -> Path:
        whole = self._built / one.folder
        if not whole.is_dir():
            partial = self._built / f"{one.folder}{PARTIAL}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            runtimes.named(one.runtime).build(self._ingredients(), self._setting(one), partial)
            partial.rename(whole)
        return whole

    def _setting(self, one: Candidate) -> Setting:
        truth = self._ground.handler
        return Setting(truth.device, threads(truth.recipe), one.precision, one.options)

    def _ingredients(self) -> Material:
        """The network once more, on the CPU and outside of inference mode, from which nothing is exported."""
        if self._material is None:
            found = self._ground.handler.recipe
            batch = self._ground.batches[1]
            network = open_network(found.handler, self._folder, torch.device("cpu"))
            self._material = Material(network, batch, _varying(self._ground, batch), self._ground.calibrating)
        return self._material


def _varying(ground: Ground, batch: torch.Tensor) -> tuple[int, ...]:
    """The dimensions that differ between requests: the items; of pictures of any size height and width."""
    image = ground.handler.recipe.handler.image_input()
    free = image is not None and image.any_size and batch.dim() == 4
    return (0, *itertools.compress((2, 3), (free, free)))


def dropped(one: Candidate, error: BaseException) -> Tried:
    """The row of a candidate that is out; what isn't foreseen leaves its traceback for the log."""
    if isinstance(error, SampleMismatch):
        return Tried(one, "differs", error.message)
    if isinstance(error, CantBuild):
        return Tried(one, "failed", str(error))
    traceback.print_exception(error)
    told = next(iter(str(error).strip().splitlines()), "")
    return Tried(one, "failed", f"{type(error).__name__}: {told}"[:300])
