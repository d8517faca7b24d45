"""What executes the network, one file each with the same two functions.

    build          the reference and inputs to trace it with -> artifacts in a folder
    open_runtime   those artifacts -> a function from batches to raw outputs

`opened` takes the one that the decision beside the recipe names, if all that it was proven with still
holds; else eager float32, and says why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import torch
from msgspec import Struct
from msgspec.structs import replace

from handlers import processor
from handlers.errors import BadRecipe, listed
from handlers.recipe import Model, Precision, RuntimeName
from handlers.runtimes import decision, eager
from handlers.runtimes.decision import EAGER, Candidate, Decision
from handlers.runtimes.setting import Material, Runtime, Setting

logger = logging.getLogger(__name__)

Cause: TypeAlias = Literal["undecided", "unreadable", "processor", "library", "stale", "artifact", "open"]
"""Why what was asked or decided doesn't execute: there is no decision, or none that can be read; it was
proven on another processor, with other libraries, for something else; its artifacts changed, or don't
open."""


class RuntimeModule(Protocol):
    """What each file of this folder offers."""

    LIBRARIES: tuple[str, ...]
    """Packages whose versions its artifacts depend on."""

    def build(self, material: Material, setting: Setting, folder: Path) -> None:
        """Write the artifacts into the empty folder; raises CantBuild."""

    def open_runtime(self, model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
        """`folder` is the model's, `artifacts` what `build` wrote; raises what the library raises."""


class Fallback(Struct, frozen=True):
    """Why eager float32 executes in the place of something else."""

    wanted: str
    """What was decided, or where nothing was, what the recipe asks for."""
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
    return Opened(eager.open_runtime(model, folder, Setting(device, threads), None), EAGER)


def opened(
    model: Model, folder: Path, device: torch.device, threads: int, known: Mapping[str, str] = {}
) -> Opened:
    """What the recipe and the decision beside it say; raises BadRecipe or BadCheckpoint.

    `known` has the sha256 of files of the folder that were verified just now, by their relative path.
    """
    torch.set_num_threads(threads)  # also what prepares inputs is held to them
    if model.runtime == "eager" and model.precision == "float32":
        return reference(model, folder, device, threads)
    decided = _decided(model, folder)
    found = (
        _executed(decided, model, folder, Setting(device, threads), known)
        if isinstance(decided, Decision)
        else decided
    )
    if isinstance(found, Opened):
        return found
    eager_one = reference(model, folder, device, threads)
    if found is None or found.wanted == str(EAGER):  # whose artifact only saves memory
        return eager_one
    logger.warning("%s: eager float32 in the place of %s: %s", model.name, found.wanted, found.message)
    return replace(eager_one, fallback=found)


def _decided(model: Model, folder: Path) -> Decision | Fallback | None:
    """The decision, or why there is none; None where eager float32 is what was asked for then."""
    plain = "" if model.precision == "float32" else f" {model.precision}"
    asked = f"{model.runtime}{plain}"
    try:
        found = decision.read(folder)
    except BadRecipe as error:
        return Fallback(asked, "unreadable", error.message)
    if found is None and asked != "auto":
        return Fallback(asked, "undecided", "nothing is proven: scripts/pthserve optimise")
    return found


def _executed(
    decided: Decision, model: Model, folder: Path, where: Setting, known: Mapping[str, str]
) -> Opened | Fallback:
    """What was decided, opened; or why not."""
    chosen = decided.chosen
    doubt = _doubt(decided, model, folder, where, known)
    if doubt is not None:
        return doubt
    setting = replace(where, precision=chosen.precision, options=chosen.options)
    artifacts = folder / decision.FOLDER / chosen.folder
    try:
        run = named(chosen.runtime).open_runtime(model, folder, setting, artifacts)
    except Exception as error:
        return Fallback(str(chosen), "open", f"it doesn't open ({type(error).__name__}: {error})")
    return Opened(run, chosen)


def _doubt(
    decided: Decision, model: Model, folder: Path, where: Setting, known: Mapping[str, str]
) -> Fallback | None:
    """What of all that the decision depends on is otherwise here; None when nothing is."""
    chosen = str(decided.chosen)
    here = processor.kind(where.device)
    if decided.processor != here:
        return Fallback(chosen, "processor", f"it was proven on {decided.processor}, this is {here}")
    needed = named(decided.chosen.runtime).LIBRARIES
    for name in dict.fromkeys([*needed, *decided.libraries]):
        version, found = decided.libraries.get(name), _version(name)
        if found is None or found != version:
            told = f"it was proven with {name} {version or 'of no known version'}, here is {found or 'none'}"
            return Fallback(chosen, "library", told)
    if decided.chosen.precision not in ("float32", model.precision):
        return Fallback(chosen, "stale", f"the recipe asks for {model.precision}")
    if decided.chosen.runtime == "compile" and decided.threads != where.threads:
        told = f"it was compiled for {decided.threads} threads, here are {where.threads}"
        return Fallback(chosen, "stale", told)
    if decision.inputs(model, folder, known) != decided.inputs:
        return Fallback(chosen, "stale", "the recipe, the weights or the code changed since it was proven")
    changed = decision.changed(decided, folder, known)
    if changed:
        return Fallback(chosen, "artifact", f"{listed(changed, 3)} isn't what was proven")
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
