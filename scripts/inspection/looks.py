"""What a module looks like, by the names and shapes of its own tensors: "Conv2d 3 -> 32, 3x3"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]

EMBEDDINGS = re.compile(r"emb|token|vocab|wte|wpe|position", re.IGNORECASE)
"""Names that tables of embeddings have; a Linear without bias has the same shape."""

LONG = 200
"""Characters of a name, the last ones; hostile ones have millions."""

CELLS = {4: "LSTM", 3: "GRU", 1: "RNN"}
"""By how many gates lie in one weight_hh."""


PARAMETER = "parameter"
"""What is no layer of torch.nn."""


def look(name: str, own: Mapping[str, Shape]) -> str:
    """The likely kind with its sizes; PARAMETER where no layer of torch.nn has such tensors."""
    if "running_mean" in own:
        return f"BatchNorm {_size(own['running_mean'])}"
    for layer in (_recurrent, _attention, _weighted):
        told = layer(name, own)
        if told:
            return told
    return PARAMETER


def kind(told: str) -> str:
    """What `look` told, without sizes: for counting."""
    return told.split(" ")[0]


def _recurrent(name: str, own: Mapping[str, Shape]) -> str:
    inputs, hidden = (own.get(key, own.get(f"{key}_l0", ())) for key in ("weight_ih", "weight_hh"))
    if len(inputs) != 2 or len(hidden) != 2 or not hidden[1] or not inputs[0]:
        return ""
    projection = own.get("weight_hr_l0", hidden)  # an LSTM's, where its outputs are fewer than its units
    cell = CELLS.get(hidden[0] // max(projection[-1], 1), "RNN")
    single = "" if "weight_ih_l0" in own else "Cell"
    return f"{cell}{single} {inputs[1]} -> {hidden[1]}"


def _attention(name: str, own: Mapping[str, Shape]) -> str:
    joint = own.get("in_proj_weight", own.get("q_proj_weight", ()))
    return f"MultiheadAttention {joint[1]}" if len(joint) == 2 else ""


def _weighted(name: str, own: Mapping[str, Shape]) -> str:
    """Of what has a weight: by its dimensions, and whether there is a bias."""
    weight = own.get("weight", own.get("weight_v", own.get("weight_orig")))
    bias = own.get("bias")
    if weight is None:
        return ""
    if len(weight) == 1:
        return f"Norm {weight[0]}" if bias == weight else f"scale {weight[0]}"
    if len(weight) == 2:
        if bias is None and EMBEDDINGS.search(name[-LONG:]):
            return f"Embedding {weight[0]} x {weight[1]}"
        return f"Linear {weight[1]} -> {weight[0]}"
    if 3 <= len(weight) <= 5:
        return _convolution(weight, bias)
    return ""


def _convolution(weight: Shape, bias: Shape | None) -> str:
    """A transposed one has its outputs second, which only a bias of another length gives away. Inputs
    are those of one group: 1 where it is depthwise."""
    kernel = "x".join(map(str, weight[2:]))
    dimensions = len(weight) - 2
    if bias is not None and bias != weight[:1] and bias == weight[1:2]:
        return f"ConvTranspose{dimensions}d {weight[0]} -> {weight[1]}, {kernel}"
    return f"Conv{dimensions}d {weight[1]} -> {weight[0]}, {kernel}"


def _size(shape: Shape) -> str:
    return str(shape[0]) if len(shape) == 1 else str(list(shape))
