"""The tensors of one module -> the layer of torch.nn that holds just these."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from scripts.drafting.attention import attention, transformer
from scripts.drafting.convolutions import convolution
from scripts.drafting.linear import bilinear, embedding, linear
from scripts.drafting.norms import norm, scale
from scripts.drafting.parts import Layer
from scripts.drafting.place import Place
from scripts.drafting.recurrent import cell, recurrent
from scripts.drafting.reparametrised import unparametrised
from scripts.drafting.tree import Node, Shape

Shapes: TypeAlias = Mapping[str, Shape]

COUNTER = "num_batches_tracked"

COMPOUND = {
    "out_proj",
    "parametrizations",
    "self_attn",
    "multihead_attn",
    "linear1",
    "linear2",
    "norm1",
    "norm2",
    "norm3",
    "layers",
    "norm",
}
"""Modules inside those layers of torch.nn that have any."""

GUESSES: tuple[Callable[[Shapes, Place], Layer | None], ...] = (
    norm,
    scale,
    embedding,
    bilinear,
    linear,
    convolution,
    recurrent,
    cell,
    attention,
    transformer,
)


def layer_of(node: Node, place: Place) -> Layer | None:
    """The first guess whose module has these names and shapes; None where none has."""
    if not node.children.keys() <= COMPOUND:
        return None
    tensors = dict(node.below())
    if not all(_is_weight(name, tensor) for name, tensor in tensors.items()):
        return None
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    bare, wrap = unparametrised(shapes)
    for guess in GUESSES:
        found = guess(bare, place)
        if found is not None and holds(wrap(found), shapes):
            return wrap(found)
    return None


def holds(layer: Layer, shapes: Shapes) -> bool:
    """Whether the layer, built, has just these names and shapes; BatchNorm's counter may be absent."""
    built = _built_shapes(layer)
    return built is not None and _without_counters(built) == _without_counters(shapes)


@functools.lru_cache(maxsize=4096)
def _built_shapes(layer: Layer) -> Shapes | None:
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = build(layer)
    except (RuntimeError, ValueError, AssertionError, TypeError):
        return None  # a guess that torch.nn itself refuses
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def build(layer: Layer) -> nn.Module:
    """The module that the call makes, on the device of the context."""
    make: Any = nn
    for step in layer.kind.split("."):
        make = getattr(make, step)
    values = [
        (argument, build(argument.value) if isinstance(argument.value, Layer) else argument.value)
        for argument in layer.arguments
    ]
    module: nn.Module = make(
        *(value for argument, value in values if argument.positional),
        **{argument.name: value for argument, value in values if not argument.positional},
    )
    return module


def _without_counters(shapes: Shapes) -> dict[str, Shape]:
    return {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] != COUNTER}


def _is_weight(name: str, tensor: torch.Tensor) -> bool:
    """Real numbers, at least one of them; BatchNorm counts its batches in an integer."""
    if name.rpartition(".")[2] == COUNTER:
        return tensor.dim() == 0
    return tensor.is_floating_point() and tensor.numel() > 0
