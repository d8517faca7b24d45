"""Node: the tensors of a state dict as the tree of modules that their names tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from msgspec import Struct, field

from handlers.errors import BadCheckpoint
from scripts.drafting.names import quoted, refuse_unusable

Shape = tuple[int, ...]

DEEPEST = 64
"""Modules inside each other; the deepest published networks have about ten."""

MOST = 50_000
"""Tensors; the largest language models have about as many."""


class Node(Struct):
    """A module: tensors of its own and modules in it, each in the order of the file."""

    path: str
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)

    def below(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor in it, under its name from here."""
        yield from self.tensors.items()
        for name, child in self.children.items():
            for inner, tensor in child.below():
                yield f"{name}.{inner}", tensor

    def numbered(self) -> dict[int, Node]:
        """Its modules by number, in rising order; empty unless all are called 0, 1, 2 and so on."""
        if self.tensors or not all(map(_is_number, self.children)):
            return {}
        return {int(name): self.children[name] for name in sorted(self.children, key=int)}


def grow(state: Mapping[str, torch.Tensor], known: str = "") -> Node:
    """The root of all names; raises BadCheckpoint for names that no nn.Module can have.

    Of the module at `known` there is a node at its place, without what is in it.
    """
    if not state:
        raise BadCheckpoint("the checkpoint holds no tensors", hint="choose the entry that holds the weights")
    if len(state) > MOST:
        raise BadCheckpoint(
            f"the checkpoint holds {len(state)} tensors, too many for one model.py (at most {MOST})",
            hint="bring the code that trained it: init --from-model MODULE:FACTORY",
        )
    root = Node("")
    for name, tensor in state.items():
        _refuse_unheld(name, tensor)
        if known and name.startswith(f"{known}."):
            _module(root, refuse_unusable(known, DEEPEST), name)
        else:
            _plant(root, name, tensor)
    return root


def _plant(root: Node, name: str, tensor: torch.Tensor) -> None:
    *modules, last = refuse_unusable(name, DEEPEST)
    node = _module(root, modules, name)
    if last in node.children:
        raise _twice(name, last)
    node.tensors[last] = tensor


def _module(node: Node, steps: list[str], name: str) -> Node:
    """The node that the steps lead to, made where there is none; `name` is the tensor that needs it."""
    for step in steps:
        if step in node.tensors:
            raise _twice(name, step)
        if step not in node.children:
            node.children[step] = Node(f"{node.path}.{step}" if node.path else step)
        node = node.children[step]
    return node


def _twice(name: str, step: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"{quoted(name)}: {quoted(step)} is a tensor and a module at once, so no nn.Module saved these names",
        hint="choose the entry that holds one network's weights",
    )


def _refuse_unheld(name: str, tensor: torch.Tensor) -> None:
    """A draft's parameters are plain dense tensors."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        sort = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        raise BadCheckpoint(
            f"{quoted(name)} is a {sort} tensor, for which no model.py can be drafted",
            hint="bring the code that trained it: init --from-model MODULE:FACTORY",
        )


def _is_number(name: str) -> bool:
    """Whether it is a whole number as Sequential and ModuleList write it: no sign, no leading zero."""
    return name.isascii() and name.isdigit() and len(name) < 7 and str(int(name)) == name
