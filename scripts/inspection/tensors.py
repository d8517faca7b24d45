"""The tensors of a state dict as a table: names, shapes, sizes, and which lie on the same memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from msgspec import Struct

from scripts.inspection.summaries import dtype_name

Range: TypeAlias = tuple[int, int]
"""Addresses of the first byte and of the one behind the last."""

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""BatchNorm's and InstanceNorm's own, which training counts and no optimizer changes."""


class Line(Struct, frozen=True):
    """One tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: int
    bytes: int
    """Of memory that it touches: an expanded tensor's values lie on fewer."""
    buffer: bool
    """Whether its name or dtype says that no optimizer changes it."""
    shares: str | None = None
    """The tensor on whose memory it lies: tied weights, or a view."""


class Totals(Struct, frozen=True):
    """Of all tensors together; what shares memory is counted once."""

    tensors: int
    parameters: int
    """Values that training learns."""
    buffers: int
    """Values of running statistics, counters, tables."""
    bytes: int
    dtypes: tuple[str, ...]
    """Of the parameters; of buffers where there are no parameters."""


def lines(state: Mapping[str, torch.Tensor]) -> list[Line]:
    """In the state dict's order."""
    owners = sharing(state)
    return [_line(name, tensor, owners.get(name)) for name, tensor in state.items()]


def totals(every: Sequence[Line]) -> Totals:
    own = [one for one in every if one.shares is None]
    return Totals(
        tensors=len(every),
        parameters=sum(one.values for one in own if not one.buffer),
        buffers=sum(one.values for one in own if one.buffer),
        bytes=sum(one.bytes for one in own),
        dtypes=dtypes(every),
    )


def dtypes(every: Sequence[Line]) -> tuple[str, ...]:
    """Of the parameters; of the buffers where there are no parameters."""
    return tuple(dict.fromkeys(one.dtype for one in [one for one in every if not one.buffer] or every))


def sharing(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """name -> the tensor on whose memory it lies, of those whose memory overlaps; the widest owns it."""
    ranges = {name: touched(tensor) for name, tensor in state.items() if tensor.numel()}
    found: dict[str, str] = {}
    owner, end = "", 0
    for name, (first, behind) in sorted(ranges.items(), key=lambda one: (one[1][0], -one[1][1])):
        if first < end:
            found[name] = owner
            end = max(end, behind)
        else:
            owner, end = name, behind
    return found


def touched(tensor: torch.Tensor) -> Range:
    """The memory from its first to its last value, however its strides lead there."""
    start = tensor.data_ptr()
    return start, start + span(tensor) * tensor.element_size()


def span(tensor: torch.Tensor) -> int:
    """Elements of the storage from its first value to its last."""
    if not tensor.numel():
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def _line(name: str, tensor: torch.Tensor, shares: str | None) -> Line:
    return Line(
        name=name,
        shape=tuple(tensor.shape),
        dtype=dtype_name(tensor.dtype),
        values=tensor.numel(),
        bytes=min(tensor.numel(), span(tensor)) * tensor.element_size(),
        buffer=name.rpartition(".")[2] in BUFFERS or not (tensor.is_floating_point() or tensor.is_complex()),
        shares=shares,
    )
