"""What executes the network, one file each with the same two functions.

    build          the reference and inputs to trace it with -> artifacts in a folder
    open_runtime   those artifacts -> a function from batches to raw outputs

`opened` takes the one that the decision beside the recipe names, if all that it was proven with still
holds; else eager float32, and says why.
"""

from __future__ import annotations

import logging
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import torch
from msgspec import Struct

from handlers import processor
from handlers.recipe import Model, Precision, RuntimeName
from handlers.runtimes import decision, eager
from handlers.runtimes.decision import EAGER, Candidate, Decision
from handlers.runtimes.setting import Material, Runtime, Setting

logger = logging.getLogger(__name__)

Cause: TypeAlias = Literal["stale", "processor", "library", "artifact", "open"]
"""Why a decision doesn't hold: other files, processor, library or artifacts, or they don't open."""


class RuntimeModule(Protocol):
    """What each file of this folder offers."""

    LIBRARIES: tuple[str, ...]
    """Packages whose versions its artifacts depend on."""

    def build(self, material: Material, setting: Setting, folder: Path) -> None:
        """Write the artifacts into the empty folder; raises CantBuild."""

    def open_runtime(self, model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
        """`folder` is the model's, `artifacts` what `build` wrote; raises what the library raises."""


class Fallback(Struct, frozen=True):
    """Why eager float32 executes in the place of what was decided."""

    decided: Candidate
    cause: Cause
    message: str


class Opened(Struct, frozen=True):
    """What executes the network now."""

    run: Runtime
    candidate: Candidate
    fallback: Fallback | None = None

    @property
    def precision(self) -> Precision:
        return self.candidate.precision


def named(name: RuntimeName) -> RuntimeModule:
    """The file of one runtime, whose library is imported only now; raises ImportError."""
    module: RuntimeModule = import_module(f"handlers.runtimes.{name}")
    return module


def reference(model: Model, folder: Path, device: torch.device, threads: int) -> Opened:
    """Eager float32, which everything else has to equal; raises BadRecipe or BadCheckpoint."""
    torch.set_num_threads(threads)
    return Opened(eager.open_runtime(model, folder, Setting(device, threads), folder), EAGER)


def opened(model: Model, folder: Path, device: torch.device, threads: int) -> Opened:
    """What the recipe and the decision beside it say; raises BadRecipe or BadCheckpoint."""
    torch.set_num_threads(threads)  # also what prepares inputs is held to them
    decided = decision.read(folder) if model.runtime != "eager" or model.precision != "float32" else None
    if decided is None or decided.chosen == EAGER:
        return reference(model, folder, device, threads)
    doubt = _doubt(decided, model, folder, device)
    if doubt is None:
        try:
            return _open(decided.chosen, model, folder, device, threads)
        except Exception as error:
            doubt = Fallback(decided.chosen, "open", f"it doesn't open ({type(error).__name__}: {error})")
    logger.warning("%s: eager float32 in the place of %s: %s", model.name, doubt.decided, doubt.message)
    found = reference(model, folder, device, threads)
    return Opened(found.run, found.candidate, doubt)


def _open(chosen: Candidate, model: Model, folder: Path, device: torch.device, threads: int) -> Opened:
    setting = Setting(device, threads, chosen.precision, chosen.options)
    artifacts = folder / decision.FOLDER / chosen.folder
    return Opened(named(chosen.runtime).open_runtime(model, folder, setting, artifacts), chosen)


def _doubt(decided: Decision, model: Model, folder: Path, device: torch.device) -> Fallback | None:
    """What of all that the decision depends on is otherwise here; None when nothing is."""
    chosen = decided.chosen
    here = processor.kind(device)
    if decided.processor != here:
        return Fallback(chosen, "processor", f"it was proven on {decided.processor}, this is {here}")
    for name, version in decided.libraries.items():
        found = _version(name)
        if found != version:
            return Fallback(
                chosen, "library", f"it was proven with {name} {version}, here is {found or 'none'}"
            )
    if decision.inputs(model, folder) != decided.inputs:
        return Fallback(chosen, "stale", "the recipe, the weights or the code changed since it was proven")
    changed = decision.changed(decided, folder)
    if changed:
        return Fallback(chosen, "artifact", f"{', '.join(changed[:3])} isn't what was proven")
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


__all__ = [
    "Candidate",
    "Cause",
    "Decision",
    "Fallback",
    "Material",
    "Opened",
    "Runtime",
    "Setting",
    "named",
    "opened",
    "reference",
]
