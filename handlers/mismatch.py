"""A state dict against a network: which names and shapes differ, and the likeliest cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from msgspec import Struct

from handlers.errors import listed

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Mapping[str, Shape]

SHOWN = 4
"""How many keys of each sort a message lists before it counts the rest."""


class Mismatch(Struct, frozen=True):
    """Keys that the network wants and the checkpoint lacks, and so on; empty when they fit."""

    missing: dict[str, Shape]
    unexpected: dict[str, Shape]
    reshaped: dict[str, tuple[Shape, Shape]]
    """name -> (shape in the checkpoint, shape in the network)"""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)


def compare(
    saved: Shapes, wanted: Shapes, allow_missing: Iterable[str] = (), allow_unexpected: Iterable[str] = ()
) -> Mismatch:
    """What differs, less what the patterns allow. BatchNorm's step counter may always be missing:
    checkpoints from before PyTorch 0.4.1 lack it, and eval mode doesn't read it."""
    return Mismatch(
        missing={
            name: shape
            for name, shape in wanted.items()
            if name not in saved
            and not name.endswith("num_batches_tracked")
            and not matches(name, allow_missing)
        },
        unexpected={
            name: shape
            for name, shape in saved.items()
            if name not in wanted and not matches(name, allow_unexpected)
        },
        reshaped={
            name: (saved[name], shape)
            for name, shape in wanted.items()
            if name in saved and saved[name] != shape
        },
    )


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a key fits one of the recipe's shell-style patterns ("fc.*")."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def describe(mismatch: Mismatch) -> str:
    """The first few of each sort with their shapes, then a count."""
    sorts = [
        ("missing from the checkpoint", [f"{n} {_dims(s)}" for n, s in mismatch.missing.items()]),
        ("unexpected in the checkpoint", [f"{n} {_dims(s)}" for n, s in mismatch.unexpected.items()]),
        (
            "of another shape",
            [f"{n} {_dims(a)} instead of {_dims(b)}" for n, (a, b) in mismatch.reshaped.items()],
        ),
    ]
    return "; ".join(f"{len(lines)} {sort}: {listed(lines, SHOWN)}" for sort, lines in sorts if lines)


def cause(mismatch: Mismatch, saved: Shapes, wanted: Shapes, args: Mapping[str, Any]) -> str:
    """The likeliest cause and its remedy, or what to compare when there is no telling."""
    return (
        _other_head(mismatch, args)
        or _other_channels(mismatch)
        or _prefixed(mismatch)
        or _renamed(mismatch, saved, wanted)
        or "compare handler.architecture with the code that trained it"
    )


def _other_head(mismatch: Mismatch, args: Mapping[str, Any]) -> str:
    """Only one layer's first dimension differs: another number of outputs."""
    layers = {name.rpartition(".")[0] for name in mismatch.reshaped}
    differ_first = all(a and b and a[1:] == b[1:] for a, b in mismatch.reshaped.values())
    if mismatch.missing or mismatch.unexpected or len(layers) != 1 or not differ_first:
        return ""
    saved, built = next(iter(mismatch.reshaped.values()))
    key = next(
        (name for name, value in args.items() if value is not True and value == built[0]), "num_classes"
    )
    return (
        f"the checkpoint's head ({layers.pop()}) has {saved[0]} outputs, the recipe's {key} is {built[0]}: "
        f"set handler.architecture.args.{key} to {saved[0]}"
    )


def _other_channels(mismatch: Mismatch) -> str:
    """Only one layer's second dimension differs: another number of inputs."""
    if mismatch.missing or mismatch.unexpected or len(mismatch.reshaped) != 1:
        return ""
    name, (saved, built) = next(iter(mismatch.reshaped.items()))
    if len(saved) < 2 or len(saved) != len(built) or saved[:1] + saved[2:] != built[:1] + built[2:]:
        return ""
    return (
        f"{name} of the checkpoint takes {saved[1]} inputs, the recipe builds {built[1]}: "
        "change the argument that sets the input channels or features"
    )


def _prefixed(mismatch: Mismatch) -> str:
    """Every saved name is a wanted name behind one more prefix."""
    for name in mismatch.unexpected:
        for wanted in mismatch.missing:
            prefix = name.removesuffix(wanted)
            if (
                name != prefix
                and prefix.endswith(".")
                and mismatch.unexpected.keys() >= {prefix + other for other in mismatch.missing}
            ):
                return f"the checkpoint's names begin with {prefix!r}: set handler.strip_prefix to {prefix!r}"
    return ""


def _renamed(mismatch: Mismatch, saved: Shapes, wanted: Shapes) -> str:
    if mismatch.missing and list(saved.values()) == list(wanted.values()):
        return "the shapes agree in order but the names don't: give the layers the names that training used"
    return ""


def _dims(shape: Shape) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
