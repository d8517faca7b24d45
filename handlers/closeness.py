"""How close an output is to the one that it has to equal: the samples in a worker and the proof of a
runtime are held to the same.

In float32 each raw value lies within the tolerance. In a lower precision raw values may be far off, so what
counts is what callers get: the same best class, and scores or values within handler.tolerance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from msgspec import UNSET, Struct

from handlers.errors import SampleMismatch
from handlers.recipe import Precision, Tolerance
from handlers.tasks import Classify, Regress, Task

Values = npt.NDArray[np.float64]

DEFAULT = Tolerance()

REMEDY = (
    "what differs from training? compare mode, resize, crop, mean and std of handler.input, and the weights"
)
PROBABILITIES = "`expect` holds probabilities: save the raw output, before softmax or sigmoid"
LOWER = "raise handler.tolerance if callers can bear it, or ask for float32"


class Demand(Struct, frozen=True):
    """What an output is held to."""

    precision: Precision = "float32"
    tolerance: Tolerance = DEFAULT
    """Of raw outputs in float32, of what the task reads in a lower precision."""
    best: bool = False
    """Whether float32, too, has to keep the best class where the reference has no tie."""


def compare(task: Task, expected: Values, got: Values, demand: Demand, where: str) -> float:
    """The largest absolute difference of what is held to the tolerance; raises SampleMismatch beyond it.

    Both are raw outputs of one item; `where` says which one, for the message.
    """
    lower = demand.precision != "float32"
    if (lower or demand.best) and not same_best(task, expected, got):
        raise SampleMismatch(
            f"{where}: expected class {int(expected.argmax())} as the best, got {int(got.argmax())}",
            hint=f"{demand.precision} is too coarse for it; {LOWER}" if lower else REMEDY,
        )
    if not lower or expected.shape != got.shape:
        return within(expected, got, demand.tolerance, where)
    return within(read(task, expected), read(task, got), demand.tolerance, where, LOWER)


def within(expected: Values, got: Values, tolerance: Tolerance, where: str, hint: str = "") -> float:
    """The largest absolute difference; raises SampleMismatch beyond the tolerance."""
    if expected.shape != got.shape:
        raise SampleMismatch(
            f"{where}: expected the shape {list(expected.shape)}, got {list(got.shape)}",
            hint="`expect` holds one item's output, without the batch dimension",
        )
    if not np.isfinite(expected).all():
        raise SampleMismatch(f"{where}: `expect` holds NaN or infinity", hint="expect finite values")
    difference = np.abs(got - expected)
    allowed = _allowed(expected, tolerance)
    wrong = ~(difference <= allowed)  # NaN is wrong, too
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, difference - allowed, -np.inf)), difference.shape)
        raise SampleMismatch(
            f"{where}: expected {expected[worst]:.6g}, got {got[worst]:.6g} at {list(map(int, worst))} "
            f"(allowed difference {allowed[worst]:.2g}); {int(wrong.sum())} of {wrong.size} values differ",
            hint=hint or (PROBABILITIES if _are_probabilities(expected, got) else REMEDY),
        )
    return float(difference.max(initial=0.0))


def same_best(task: Task, expected: Values, got: Values) -> bool:
    """Whether classify names the same class; where the reference's best two tie, either is as good.

    True for other tasks, which have no best, and for shapes that differ, which is another finding.
    """
    if not isinstance(task, Classify) or expected.shape != got.shape or expected.ndim != 1:
        return True
    ours, theirs = int(expected.argmax()), int(got.argmax())
    return bool(expected[ours] - expected[theirs] <= _allowed(expected, DEFAULT)[ours])


def read(task: Task, output: Values) -> Values:
    """What callers get of a raw output: scores between 0 and 1, values in their own unit, else itself."""
    raw = torch.from_numpy(output)
    if isinstance(task, Classify) and output.ndim == 1:
        scores: Values = (raw.sigmoid() if task.sigmoid else raw.softmax(0)).numpy()
        return scores
    wanted = task.recipe.output
    if isinstance(task, Regress) and wanted.mean is not UNSET and wanted.std is not UNSET:
        values: Values = output * np.asarray(wanted.std) + np.asarray(wanted.mean)
        return values
    return output


def _allowed(expected: Values, tolerance: Tolerance) -> Values:
    allowed: Values = tolerance.absolute + tolerance.relative * np.abs(expected)
    return allowed


def _are_probabilities(expected: Values, got: Values) -> bool:
    """Whether `expected` is the softmax or the sigmoid of what came out."""
    raw = torch.from_numpy(got)
    return got.ndim == 1 and any(
        np.allclose(expected, scores.numpy(), rtol=1e-3, atol=1e-4)
        for scores in (raw.softmax(0), raw.sigmoid())
    )
