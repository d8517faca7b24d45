"""Fingerprint: the names and shapes of what a builder builds, and which dimensions its arguments set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from handlers.mismatch import Shape
from scripts.architectures.match import Family, Library

STEPS = "num_batches_tracked"
"""The counter of a BatchNorm, which files from before PyTorch 0.4.1 lack."""


class Rule(Struct, frozen=True, array_like=True):
    """One dimension of one tensor is `times * (argument / per) ** power + plus`; power is 1 or 2."""

    tensor: int
    """Which of the fingerprint's names."""
    dim: int
    argument: str
    times: int = 1
    plus: int = 0
    per: int = 1
    power: int = 1

    def size(self, value: int) -> int:
        """How long the dimension is."""
        steps = value // self.per
        return self.times * (steps * steps if self.power == 2 else steps) + self.plus

    def value(self, size: int) -> int | None:
        """The argument that makes it this long; None when no positive one does."""
        steps, rest = divmod(size - self.plus, self.times)
        if rest or steps < 1:
            return None
        if self.power == 1:
            return steps * self.per
        root = math.isqrt(steps)
        return root * self.per if root * root == steps else None


class Fingerprint(Struct, frozen=True):
    """One builder with fixed `args`; the sizes that `rules` set are those of `defaults`."""

    library: Library
    builder: str
    family: Family
    args: dict[str, Any]
    names: list[str]
    shapes: list[Shape]
    rules: list[Rule]
    heads: list[str]
    """Modules whose size follows num_classes; the one that gives the answer last."""
    stem: str
    """The module that takes the picture; "" where none does."""
    children: list[str]
    """Its modules, in order, also those without tensors."""
    defaults: dict[str, int] = {}
    """Of the arguments in `rules`."""

    def shapes_with(self, args: Mapping[str, Any]) -> dict[str, Shape]:
        """Name -> shape as built with `args`, in order."""
        shapes = dict(zip(self.names, self.shapes, strict=True))
        for rule in self.rules:
            if rule.argument in args:
                name = self.names[rule.tensor]
                shape = list(shapes[name])
                shape[rule.dim] = rule.size(args[rule.argument])
                shapes[name] = tuple(shape)
        return shapes


def within(name: str, module: str) -> bool:
    """Whether a tensor or module is this module's, or of one inside it."""
    return name == module or name.startswith(f"{module}.")


def owner(name: str) -> str:
    """The module that holds a tensor."""
    return name.rpartition(".")[0]


def counted(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Without the counters, which may be missing and say nothing."""
    return {name: shape for name, shape in shapes.items() if not name.endswith(STEPS)}


def values(shapes: Iterable[Shape]) -> int:
    """How many numbers tensors of these shapes hold together."""
    return sum(math.prod(shape) for shape in shapes)
