"""The tree of names -> parts: what torch.nn has a layer for, rows of numbers, and blocks for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from msgspec.structs import replace

from scripts.drafting.forward import chained
from scripts.drafting.layers import layer_of
from scripts.drafting.parts import Block, Held, Layer, Part, Row, Signal
from scripts.drafting.place import Place, Surroundings
from scripts.drafting.rows import listed, row_of
from scripts.drafting.tree import Node

BUFFERS = frozenset({"pe", "mask", "attn_mask", "causal_mask", "mean", "std", "pixel_mean", "pixel_std"})
BUFFERS |= {"inv_freq", "freqs", "anchors", "running_mean", "running_var", "position_ids", "priors"}
"""Names of real-valued tensors that networks mostly register as buffers."""


class Builder:
    """Walks the tree in the order of the file; what a layer gives is what stands before the next."""

    def __init__(self, root: Node, known: Mapping[str, Layer] | None = None) -> None:
        self.surroundings = Surroundings(root)
        self.known = known or {}
        self.before: Signal | None = None

    def part(self, node: Node, *, outermost: bool = False) -> Part:
        """What holds the tensors of the node, and those below it."""
        layer = self.known.get(node.path) or layer_of(node, self._place(node))
        if layer is not None:
            self.before = layer.gives
            return layer
        if not node.children and (parameters := _parameters(node)):
            return parameters
        return self.container(node, outermost=outermost)

    def container(self, node: Node, *, outermost: bool) -> Part:
        """A row or a block, whatever torch.nn has for its tensors."""
        numbered = node.numbered()
        if numbered:
            parts = self._numbered(numbered)
            named = {str(number): part for number, part in parts.items()}
            beside = run_beside(list(numbered.values()))
            row = listed(parts) if beside else row_of(parts, outermost=outermost)
            if row is not None:
                return row
        else:
            named = {name: self.part(child) for name, child in node.children.items()}
        tensors = tuple(held(name, tensor) for name, tensor in node.tensors.items())
        return chained(Block(node.path, tensors, tuple(named.items())), outermost=outermost)

    def _numbered(self, nodes: dict[int, Node]) -> dict[int, Part]:
        """Of those that run beside each other, each takes what stands before all of them."""
        before, parts = self.before, {}
        beside = run_beside(list(nodes.values()))
        for number, child in nodes.items():
            self.before = before if beside else self.before
            parts[number] = self.part(child)
        return parts

    def _place(self, node: Node) -> Place:
        vector = node.tensors.get("weight", node.tensors.get("running_mean"))
        width = vector.shape[0] if vector is not None and vector.dim() else 0
        after = self.surroundings.after.get(node.path)
        around = self.surroundings
        dims = around.dims(node.path, width)
        return Place(node.path, self.before, after, dims, around.first(node.path), around.tokens(node.path))


def run_beside(nodes: Sequence[Node]) -> bool:
    """Whether these are convolutions that differ in nothing but the kernel, as of a CNN for texts."""
    shapes = [tuple(node.tensors["weight"].shape) for node in nodes if "weight" in node.tensors]
    kernels = {shape[2:] for shape in shapes if len(shape) > 2}
    alike = len({(len(shape), *shape[:2]) for shape in shapes}) == 1
    return 1 < len(kernels) == len(nodes) and alike


def held(name: str, tensor: torch.Tensor) -> Held:
    """A parameter, or a buffer where it holds whole numbers or is called like one."""
    buffer = not (tensor.is_floating_point() or tensor.is_complex()) or name.lower() in BUFFERS
    real = tensor.is_floating_point()
    return Held(name, tuple(tensor.shape), buffer, "" if real else str(tensor.dtype))


def root_of(root: Node, known: Mapping[str, Layer] | None = None) -> Part:
    """The whole network: a row or a block, or one layer. What stands at the paths in `known` is known."""
    builder = Builder(root, known)
    found = builder.part(root, outermost=True)
    is_wrapper = isinstance(found, Layer) and "." in found.kind
    if is_wrapper or (isinstance(found, Row) and found.kind == "ParameterList"):
        return builder.container(root, outermost=True)  # neither is a class that Network could extend
    return replace(found, confirm=()) if isinstance(found, Layer) else found


def _parameters(node: Node) -> Row | None:
    """A ParameterList: tensors called 0, 1, 2... of which none is missing."""
    names = sorted(node.tensors, key=lambda name: (len(name), name))
    if names != [str(number) for number in range(len(names))]:
        return None
    items = [held(name, node.tensors[name]) for name in names]
    return None if any(item.buffer for item in items) else Row("ParameterList", tuple(items))
