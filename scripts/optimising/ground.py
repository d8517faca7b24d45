"""Ground: eager float32, and what it answers: the truth that every candidate is held to."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from msgspec import Struct
from msgspec.structs import replace

from handlers import golden
from handlers.closeness import Values
from handlers.errors import BadRecipe
from handlers.handler import Handler
from handlers.recipe import Recipe
from scripts.optimising.calibration import RANDOM, calibration, require_enough
from scripts.optimising.drawing import drawn

SECONDS = 1.0
"""That eager may take for the random inputs, alone: a slow network is proven on fewer."""

FEW, MANY = 4, 16
"""Random inputs of each kind, at least and at most."""

CALIBRATING = 64
"""Random inputs for `calibration: random`."""


class Case(Struct, frozen=True):
    """A prepared input [...], and eager's raw output for it, alone."""

    name: str
    input: torch.Tensor
    expected: Values
    sample: bool = False


class Ground(Struct, frozen=True):
    """What candidates are built from, proven with and timed on."""

    handler: Handler
    cases: list[Case]
    """The samples, then the random ones."""
    calibrating: list[torch.Tensor]
    """For int8: what it calibrates on."""
    counted: list[Case]
    """Of handler.calibration: what a lower precision's agreement is counted over besides."""

    @property
    def batches(self) -> list[torch.Tensor]:
        """One item, and a full batch [items, ...]: what is timed."""
        return [self.stacked(1), self.stacked(self.handler.recipe.batch_size)]

    def stacked(self, items: int) -> torch.Tensor:
        """A batch of as many of the first size, in turn [items, ...]."""
        cycle = itertools.cycle(next(iter(by_shape(self.cases))))
        return torch.stack([self.cases[next(cycle)].input for _ in range(items)])


def open_ground(folder: Path, device: torch.device) -> Ground:
    """Raises what opening the model raises, or BadRecipe where nothing can be asked of it."""
    handler = Handler.open(folder, device, reference=True)
    items = [golden.request(handler.recipe, folder, one).items[0] for one in handler.recipe.handler.samples]
    samples = [handler.task.prepare(item) for item in items]
    names = [sample.input for sample in handler.recipe.handler.samples]
    cases = [Case(*each, _alone(handler, each[1]), True) for each in zip(names, samples, strict=True)]
    few = drawn(handler, items, FEW)
    random = list(_answered(handler, "random", drawn(handler, items, _count(handler, [*samples, *few]))))
    if not cases and not random:
        raise BadRecipe(
            f"nothing is known that {handler.recipe.handler.name} answers", hint="give it a sample"
        )
    given = calibration(handler, folder)
    require_enough(handler, len(samples) + len(given))
    made = drawn(handler, items, CALIBRATING) if handler.recipe.handler.calibration == RANDOM else []
    counted = (
        [] if handler.recipe.handler.precision == "float32" else _answered(handler, "calibration", given)
    )
    return Ground(handler, [*cases, *random], [*samples, *given, *made], list(counted))


def _count(handler: Handler, inputs: Sequence[torch.Tensor]) -> int:
    """How many random inputs there is time for."""
    began = time.perf_counter()
    tried = 0
    for _ in _answered(handler, "", inputs[:1]):
        tried += 1
    return max(FEW, min(MANY, int(SECONDS * tried / (time.perf_counter() - began))))


def _answered(handler: Handler, kind: str, inputs: Sequence[torch.Tensor]) -> Iterator[Case]:
    """Those that the network takes and answers with finite numbers: what is made may be no valid input."""
    for index, one in enumerate(inputs):
        try:
            output = _alone(handler, one)
        except Exception:
            continue
        if torch.from_numpy(output).isfinite().all():
            yield Case(f"{kind} input {index + 1}", one, output)


def _alone(handler: Handler, one: torch.Tensor) -> Values:
    output: Values = handler.forward(one[None])[0].double().numpy()
    return output


def by_shape(cases: Sequence[Case]) -> list[list[int]]:
    """Indices of what can be stacked."""
    shapes: dict[tuple[object, ...], list[int]] = {}
    for index, case in enumerate(cases):
        shapes.setdefault((case.input.dtype, *case.input.shape), []).append(index)
    return list(shapes.values())


def batched(cases: Sequence[Case], size: int) -> Iterator[list[int]]:
    """Indices of what is answered together, of one shape each."""
    for group in by_shape(cases):
        yield from ([group[index] for index in batch] for batch in golden.together(len(group), size))


def replayable(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the samples whose answer is known already: owners' and recorded ones."""
    model = recipe.handler
    known = [
        one
        for one in model.samples
        if isinstance(one.expect, (str, list)) or (folder / one.recording).exists()
    ]
    return replace(recipe, handler=replace(model, samples=known))
