"""Which whole modules of a builder a checkpoint has otherwise: its head, the layer that takes the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from handlers.mismatch import Shape
from scripts.architectures.fingerprint import Fingerprint, within


def modules(fingerprint: Fingerprint, differing: Iterable[str]) -> tuple[str, ...] | None:
    """Those that hold all names that differ, as few and as deep as can be; None when none do.

    A head may be replaced together with what stands before it in the same container: a VGG's
    `classifier` for its last layer `classifier.6`.
    """
    found: dict[str, None] = {}
    left = []
    for name in differing:
        for module in filter(None, [*fingerprint.heads, fingerprint.stem]):
            if within(name, module):
                found[module] = None
                break
        else:
            left.append(name)
    for name in left:
        container = next((one for one in _containers(fingerprint.heads) if within(name, one)), None)
        if container is None:
            return None
        found[container] = None
    return tuple(module for module in found if not any(_inside(module, other) for other in found))


def _containers(heads: Iterable[str]) -> Iterator[str]:
    """The modules that hold heads, the deepest first; never the whole network."""
    above = {head[:end] for head in heads for end, letter in enumerate(head) if letter == "."}
    yield from sorted(above, key=lambda module: -module.count("."))


def _inside(module: str, other: str) -> bool:
    return module != other and within(module, other)


def first_layer(module: str, shapes: Mapping[str, Shape]) -> Shape | None:
    """The shape of a module's first matrix; None where it has none."""
    inside = (shape for name, shape in shapes.items() if within(name, module))
    return next((shape for shape in inside if len(shape) > 1 and shape[1] > 1), None)


def outputs(module: str, shapes: Mapping[str, Shape]) -> int | None:
    """How many values a replaced head gives, as its last layer says; None where it has no layers."""
    layers = [shape for name, shape in shapes.items() if within(name, module) and len(shape) > 1]
    return layers[-1][0] if layers else None


def channels(stem: str, shapes: Mapping[str, Shape]) -> int | None:
    """How many channels the first convolution takes; None where there is none."""
    return next(
        (shape[1] for name, shape in shapes.items() if stem and within(name, stem) and len(shape) > 3), None
    )
