"""Place: what stands around a module in the file, which tells what its own tensors leave open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from scripts.drafting.parts import Signal
from scripts.drafting.tree import Node, Shape

PATCH = 8
"""The smallest kernel that is taken for a patch of a vision transformer, whatever its name."""

NEAR = 6
"""Modules before and after that a normalisation is compared with."""

WEIGHTS = (
    "weight",
    "weight_v",
    "weight_orig",
    "parametrizations.weight.original1",
    "parametrizations.weight.original",
)


class Place(Struct, frozen=True):
    """Where a module stands."""

    path: str
    before: Signal | None
    """What the layer before it in the file gives."""
    after: int | None
    """The width of the normalisation right behind it, where there is one."""
    dims: int
    """Of the maps that flow here, going by the weights nearby: 0 for features, 2 for pictures."""
    first: bool = False
    """Whether it is the first that multiplies with something, of several."""
    tokens: bool = False
    """Whether the maps come from what cuts a picture into patches, which mostly become features."""

    def named(self, pattern: str) -> bool:
        """Whether one of its last two names has this in it."""
        return any(re.search(pattern, step) for step in self.path.lower().split(".")[-2:])


class Surroundings:
    """The weights of a network in the order of the file."""

    def __init__(self, root: Node) -> None:
        self.weights: list[Shape] = []
        self.patches: list[bool] = []
        self.at: dict[str, int] = {}
        self.after: dict[str, int] = {}
        before = ""
        for node in _in_order(root):
            if node.tensors and not node.children:
                vector = _vector(node)
                if vector is not None:
                    self.after[before] = vector
                before = node.path
            self.at[node.path] = len(self.weights)
            shape = _weight(node)
            if shape is not None:
                self.weights.append(shape)
                self.patches.append(len(shape) > 2 and is_patch(node.path, shape[2:]))

    def dims(self, path: str, width: int) -> int:
        """Dimensions of the maps of `width` channels near the module at `path`; 0 for features.

        What gave that width before it counts most, then what takes it after it, then whatever is nearest.
        """
        here = self.at[path]
        before = self.weights[max(0, here - NEAR) : here][::-1]
        after = self.weights[here : here + NEAR]
        fitting = [
            *(shape for shape in before if width in shape[:2]),
            *(shape for shape in after if width in shape[:2]),
        ]
        nearest = next(iter(fitting or [*before, *after]), (0, 0))
        return len(nearest) - 2

    def first(self, path: str) -> bool:
        """Whether no weight is before the module at `path`, and some after it."""
        return self.at[path] == 0 and len(self.weights) > 1

    def tokens(self, path: str) -> bool:
        """Whether the weight before the module at `path` cuts a picture into patches."""
        here = self.at[path]
        return here > 0 and self.patches[here - 1]


def is_patch(path: str, kernel: Sequence[int]) -> bool:
    """Whether a convolution cuts a picture into patches: a large even kernel, or a name that says so."""
    even = not any(size % 2 for size in kernel)
    return even and (min(kernel) >= PATCH or any("patch" in step for step in path.lower().split(".")[-2:]))


def _in_order(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children.values():
        yield from _in_order(child)


def _vector(node: Node) -> int | None:
    """The width of a normalisation: its tensors are vectors of one length."""
    shapes = {tuple(tensor.shape) for tensor in node.tensors.values() if tensor.dim()}
    (only, *others) = shapes or {()}
    return only[0] if len(only) == 1 and not others else None


def _weight(node: Node) -> Shape | None:
    """The shape of what a module multiplies with: [out, in, kernel...]."""
    tensors = dict(node.below()) if "parametrizations" in node.children else node.tensors
    for name in WEIGHTS:
        if name in tensors and 2 <= tensors[name].dim() <= 5:
            return tuple(tensors[name].shape)
    return None
