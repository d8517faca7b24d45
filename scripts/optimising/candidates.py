"""Which ways to execute a network are worth a try, and which of two is the simpler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import torch

from handlers.recipe import Model, Precision, RuntimeName
from handlers.runtimes.decision import EAGER, Candidate
from handlers.runtimes.setting import Option

PROMISING: tuple[RuntimeName, ...] = ("eager", "openvino", "onnxruntime", "torchscript", "compile")
"""What is tried first, where time may run out before all are."""

BY_ITSELF: tuple[RuntimeName, ...] = ("eager", "torchscript", "onnxruntime", "openvino")
"""What `auto` tries; compile needs a compiler, and minutes."""

ON_CUDA: tuple[RuntimeName, ...] = ("eager", "torchscript")

LOWER: dict[Precision, tuple[RuntimeName, ...]] = {
    "bfloat16": ("eager", "openvino"),
    "int8": ("openvino",),
}
"""What can execute in a lower precision."""

SIMPLER: tuple[RuntimeName, ...] = get_args(RuntimeName)
EXACTER: tuple[Precision, ...] = get_args(Precision)


def candidates(model: Model, device: torch.device, dimensions: int) -> list[Candidate]:
    """The reference first, then the most promising; `dimensions` are those of a batch."""
    ways = [EAGER, *_in("float32", model, device, dimensions)]
    if model.precision != "float32":
        ways += _in(model.precision, model, device, dimensions)
    return sorted(dict.fromkeys(ways), key=lambda one: (one != EAGER, PROMISING.index(one.runtime)))


def simplicity(one: Candidate) -> tuple[int, int, int]:
    """Less is simpler: the more exact, then the order of RuntimeName, then the fewer options."""
    return EXACTER.index(one.precision), SIMPLER.index(one.runtime), len(one.options)


def _in(precision: Precision, model: Model, device: torch.device, dimensions: int) -> Iterator[Candidate]:
    able = BY_ITSELF if precision == "float32" else LOWER[precision]
    if device.type == "cuda":
        able = tuple(name for name in able if name in ON_CUDA)
    for name in able if model.runtime == "auto" else (model.runtime,):
        for options in _options(device, dimensions) if name == "eager" else [()]:
            yield Candidate(name, precision, options)


def _options(device: torch.device, dimensions: int) -> list[tuple[Option, ...]]:
    """What eager may be tried with: another layout for pictures, and on a GPU recorded graphs."""
    layouts: list[tuple[Option, ...]] = [(), ("channels_last",)] if dimensions == 4 else [()]
    if device.type != "cuda":
        return layouts
    return [*layouts, *((*layout, "cuda_graphs") for layout in layouts)]
