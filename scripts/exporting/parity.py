"""parity.json: how far an exported file's answers are from eager float32's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Struct

from handlers import closeness
from handlers.closeness import DEFAULT, Values
from handlers.errors import Refusal, SampleMismatch
from handlers.handler import Handler
from handlers.recipe import Tolerance
from handlers.tasks import Classify, Task
from scripts.exporting.inputs import Input

Run: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]


class CantExport(Refusal):
    """The network can't become such a file, or the example doesn't run."""

    code = "cant_export"


class Compared(Struct, frozen=True):
    """One input, alone (`batch` 1) or among others."""

    input: str
    batch: int
    max_error: float
    """The largest absolute difference of raw outputs."""
    same_top1: bool | None
    """Whether the best class is the same; None where outputs are no classes."""
    passed: bool


class Example(Struct, frozen=True):
    """What example.py printed for the bundled input, and what the model answers here."""

    input: str
    printed: Any
    expected: Any
    passed: bool


class Parity(Struct, frozen=True):
    """The report."""

    model: str
    version: str
    target: str
    passed: bool
    max_error: float
    tolerance: Tolerance
    compared: list[Compared]
    example: Example
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    """sha256 of the exported files."""


def compare(handler: Handler, groups: Iterable[Sequence[Input]], run: Run) -> list[Compared]:
    """Every group's items, in order; those in one group must have one shape."""
    compared = []
    for group in groups:
        batch = torch.stack([one.prepared for one in group])
        wanted, got = handler.forward(batch).double().numpy(), run(batch.numpy()).astype(np.float64)
        if got.shape != wanted.shape:
            raise CantExport(f"the file gives the shape {list(got.shape)}, eager {list(wanted.shape)}")
        for one, *outputs in zip(group, wanted, got, strict=True):
            compared.append(_compared(handler.task, one.name, len(group), *outputs))
    return compared


def _compared(task: Task, name: str, batch: int, wanted: Values, got: Values) -> Compared:
    same = closeness.same_best(task, wanted, got) if isinstance(task, Classify) else None
    error = np.nan_to_num(np.abs(got - wanted), nan=np.inf).max(initial=0.0)
    return Compared(name, batch, float(error), same, same is not False and close(wanted, got))


def close(expected: npt.ArrayLike, got: npt.ArrayLike, tolerance: Tolerance = DEFAULT) -> bool:
    """Whether the values are within the tolerance, as a worker's samples have to be."""
    try:
        closeness.within(np.asarray(expected, np.float64), np.asarray(got, np.float64), tolerance, "")
    except SampleMismatch:
        return False
    return True
