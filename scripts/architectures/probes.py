"""Arguments that a builder is given once, so long that no dimension has them by chance.

Whatever is as long as one of them, or a multiple of it, is set by that argument. Tensors without memory
may be as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from handlers.mismatch import Shape
from scripts.architectures.fingerprint import Rule, owner

CLASSES = 1_000_003
OTHER = 1_000_000_007
"""Primes: for num_classes, and for a second argument."""


def probed(shapes: Mapping[str, Shape], probes: Mapping[str, int]) -> Iterator[Rule]:
    """The dimensions that hold a multiple of a prime."""
    for index, shape in enumerate(shapes.values()):
        for dim, size in enumerate(shape):
            for argument, prime in sorted(probes.items(), key=lambda item: -item[1]):
                times = round(size / prime)
                if times:
                    yield Rule(index, dim, argument, times, size - times * prime)
                    break


def heads(names: Sequence[str], rules: Sequence[Rule]) -> list[str]:
    """The modules that num_classes sets, in order; those that only help training come first."""
    found = dict.fromkeys(owner(names[rule.tensor]) for rule in rules if rule.argument == "num_classes")
    return sorted(found, key=lambda module: "aux" not in module.lower())
