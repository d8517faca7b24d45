"""What a worker will execute, opened as there; where that isn't eager float32, held against it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from handlers import closeness, runtimes
from handlers.closeness import Demand
from handlers.cores import threads
from handlers.errors import BadRecipe
from handlers.handler import Handler
from handlers.recipe import Recipe
from handlers.runtimes import decision
from scripts.checking.finding import Finding
from scripts.checking.steps.trial import Trial

ELSEWHERE = frozenset({"processor", "library"})
"""Causes that tell of this machine alone: where the archive serves, its runtime may open."""


def runtime(trial: Trial) -> Iterator[Finding]:
    """Raises BadRecipe where the recipe names what nothing proves, SampleMismatch where answers differ."""
    trial.device = device(trial.recipe)
    with torch.inference_mode():
        trial.serving = runtimes.opened(trial.model, trial.folder, trial.device, threads(trial.recipe))
    _require_named(trial)
    again = f"scripts/pthserve optimise {trial.model.name}"
    fallback = trial.serving.fallback
    if fallback is not None and fallback.cause not in {*ELSEWHERE, "undecided"}:
        raise BadRecipe(f"eager in the place of {fallback.wanted}: {fallback.message}", hint=again)
    if fallback is not None:
        told = f"eager in the place of {fallback.wanted}: {fallback.message}"
        yield Finding("runtime", "warn", told, again)
        return
    yield Finding("runtime", "pass", str(trial.serving.candidate) + _difference(trial))


def device(recipe: Recipe) -> torch.device:
    """Where a worker of it executes on this machine."""
    gpu = torch.cuda.is_available() and recipe.device_type != "cpu"
    return torch.device("cuda", 0) if gpu else torch.device("cpu")


def _require_named(trial: Trial) -> None:
    """Raises BadRecipe unless a runtime that the recipe names is what was decided."""
    named = trial.model.runtime
    if named in ("auto", "eager"):
        return
    found = decision.read(trial.folder)
    if found is None or found.chosen.runtime != named:
        raise BadRecipe(
            f"handler.runtime is {named!r}, and no decision keeps it",
            hint=f"scripts/pthserve optimise {trial.model.name} tells why; or write runtime: auto",
        )


def _difference(trial: Trial) -> str:
    """From eager's answer to the example, where a forward pass gave one."""
    output = getattr(trial, "output", None)
    if trial.serving.candidate == decision.EAGER or output is None:
        return ""
    served: Handler = trial.served
    got = served.forward(trial.example[None])[0].double().numpy()
    lower = trial.serving.precision != "float32"
    tolerance = trial.model.tolerance if lower else closeness.DEFAULT
    demand = Demand(trial.serving.precision, tolerance, best=True)
    error = closeness.compare(trial.task, output.double().numpy(), got, demand, "the example")
    return f", whose {'scores differ' if lower else 'answer differs'} by {error:.2g} from eager's"
