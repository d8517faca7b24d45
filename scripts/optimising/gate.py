"""The gate: whatever a candidate answers equals what eager float32 does, alone and in full batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct

from handlers import closeness, golden
from handlers.closeness import DEFAULT, Demand, Values
from handlers.errors import SampleMismatch
from handlers.handler import Handler
from handlers.recipe import Model, Tolerance
from handlers.tasks import Classify
from scripts.optimising.ground import Case, Ground, batched, replayable


class Proven(Struct, frozen=True):
    """How close a candidate came."""

    error: float
    """The largest absolute difference of raw outputs."""
    agreement: float | None
    """Share of all inputs with the same best class; None where answers aren't classes."""


def prove(handler: Handler, ground: Ground, folder: Path) -> Proven:
    """Samples as a worker replays them, then every case; raises SampleMismatch at the first that differs.

    In a lower precision the samples are held to it, and of the others it is counted how many agree.
    """
    known = Handler(replayable(handler.recipe, folder), handler.task, handler.opened, handler.device)
    golden.replay(known, folder)
    demand = _demand(handler)
    errors, same = [0.0], []
    cases = ground.cases if demand.precision == "float32" else [*ground.cases, *ground.counted]
    for case, got, company in _outputs(handler, cases):
        errors.append(_difference(case, got, company))
        same.append(closeness.same_best(handler.task, case.expected, got))
        if demand.precision == "float32" or case.sample:
            closeness.compare(handler.task, case.expected, got, demand, f"{case.name} ({company})")
    classes = isinstance(handler.task, Classify)
    return Proven(max(errors), float(np.mean(same)) if classes and same else None)


def _demand(handler: Handler) -> Demand:
    """Eager's own answers are exact, so in float32 the tightest of what the recipe allows holds for all."""
    model = handler.recipe.handler
    precision = handler.opened.precision
    if precision == "float32":
        return Demand(precision, _tightest(model), best=True)
    if not model.samples:
        raise SampleMismatch(f"no sample proves {precision}", hint="add one to handler.samples")
    return Demand(precision, model.tolerance)


def _tightest(model: Model) -> Tolerance:
    allowed = [DEFAULT, *(sample.tolerance for sample in model.samples)]
    return Tolerance(min(one.absolute for one in allowed), min(one.relative for one in allowed))


def _outputs(handler: Handler, cases: Sequence[Case]) -> Iterator[tuple[Case, Values, str]]:
    """Each case with its raw output, alone and in company."""
    for batch in batched(cases, handler.recipe.batch_size):
        company = golden.in_company(batch)
        outputs = handler.forward(torch.stack([cases[index].input for index in batch]))
        for index, output in zip(batch, outputs, strict=True):
            yield cases[index], output.double().numpy(), company


def _difference(case: Case, got: Values, company: str) -> float:
    """Of two raw outputs; raises SampleMismatch where they can't be compared."""
    if got.shape != case.expected.shape or not np.isfinite(got).all():
        raise SampleMismatch(
            f"{case.name} ({company}): gives {_described(got)} where eager gives {_described(case.expected)}"
        )
    return float(np.abs(got - case.expected).max(initial=0.0))


def _described(output: Values) -> str:
    return f"{list(output.shape)}" if np.isfinite(output).all() else "NaN or infinity"
