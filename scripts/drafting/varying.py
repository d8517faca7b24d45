"""The numbers in a block: those in which blocks of one skeleton differ become arguments of their class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace
from torch import nn

from scripts.drafting.parts import Block, Held, Layer, Part, Row

Visit: TypeAlias = Callable[[str, int], int | str]
"""(what the number is, the number) -> what stands in its place."""


def columns(blocks: list[Block]) -> list[tuple[int, ...]]:
    """Each number of the skeleton, as it is in every block."""
    return list(zip(*([number for _, number in _numbers(block)] for block in blocks), strict=True))


def hints(block: Block) -> list[str]:
    return [hint for hint, _ in _numbers(block)]


def _numbers(block: Block) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []

    def note(hint: str, number: int) -> int:
        found.append((hint, number))
        return number

    rewritten(block, note)
    return found


def skeleton(block: Block) -> Part:
    """The block without its numbers."""
    return anonymous(rewritten(block, lambda hint, number: 0))


def anonymous(block: Block) -> Part:
    """The block without its place and signals, which differ from use to use."""
    return _unsignalled(replace(block, path=""))


def _unsignalled(part: Part) -> Part:
    bare = replace(part, takes=None, gives=None)
    if isinstance(bare, Row):
        items = tuple(one if isinstance(one, Held) else _unsignalled(one) for one in bare.items)
        return replace(bare, items=items)
    if isinstance(bare, Block):
        return replace(bare, entries=tuple((name, _unsignalled(one)) for name, one in bare.entries))
    return bare


def rewritten(block: Block, visit: Visit) -> Block:
    """The block with what `visit` gives for each of its numbers, always in the same order."""
    tensors = tuple(_rewritten_held(tensor, visit) for tensor in block.tensors)
    entries = tuple((name, _rewritten_part(part, name, visit)) for name, part in block.entries)
    return replace(block, tensors=tensors, entries=entries)


def _rewritten_held(tensor: Held, visit: Visit) -> Held:
    sizes = [visit("size", size) if isinstance(size, int) else size for size in tensor.shape]
    return replace(tensor, shape=tuple(sizes))


def _rewritten_part(part: Part, entry: str, visit: Visit) -> Part:
    if isinstance(part, Row):
        items = [
            _rewritten_held(one, visit) if isinstance(one, Held) else _rewritten_part(one, entry, visit)
            for one in part.items
        ]
        return replace(part, items=tuple(items))
    if isinstance(part, Layer):
        return _rewritten_layer(part, entry, visit)
    return part


def _rewritten_layer(layer: Layer, entry: str, visit: Visit) -> Layer:
    arguments = []
    for at, argument in enumerate(layer.arguments):
        value = argument.value
        if isinstance(value, Layer):
            value = _rewritten_layer(value, entry, visit)
        elif isinstance(value, int) and not isinstance(value, bool):
            value = visit(f"{entry}.{argument.name or _positional(layer, at)}", value)
        arguments.append(replace(argument, value=value))
    return replace(layer, arguments=tuple(arguments))


def _positional(layer: Layer, at: int) -> str:
    """What torch.nn calls the argument at this position."""
    make = getattr(nn, layer.kind)
    if issubclass(make, nn.RNNBase):
        return ("input_size", "hidden_size")[at]  # its own signature says only *args
    names = list(inspect.signature(make).parameters)
    return names[at]
