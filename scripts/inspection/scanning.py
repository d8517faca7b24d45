"""The values of a tensor, each that lies in the file looked at once and none copied beyond a chunk."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from msgspec import Struct

from scripts.inspection.tensors import span

CHUNK = 2**15
"""Values at a time: they stay in the processor's cache, and torch (at::GRAIN_SIZE) takes one thread for them:
on a busy machine, threads that wait for each other take 5 to 100 times as long."""

COMPARABLE = {
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool,
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip
"""Dtypes that torch.aminmax takes; the others are widened, a chunk at a time."""


class Values(Struct, frozen=True):
    """What the values of a tensor are like."""

    nan: int
    inf: int
    low: float
    high: float
    """Least and greatest; NaN where one is NaN, and of a tensor without values."""


def scan(tensor: torch.Tensor) -> Values:
    """Of every value that the tensor holds; those of an expanded one are counted once."""
    nan = inf = 0
    low, high = float("inf"), float("-inf")
    for piece in _pieces(tensor):
        least, greatest = (float(bound) for bound in torch.aminmax(piece))
        if not (_finite(least) and _finite(greatest)):
            nan += int((piece != piece).count_nonzero())
            inf += int((piece.abs() == float("inf")).count_nonzero())
        low, high = min(low, least), max(high, greatest)
    return Values(nan, inf, *((float("nan"),) * 2 if nan or low > high else (low, high)))


def _pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """All values in flat pieces that can be compared."""
    distinct = tensor.as_strided(
        [1 if step == 0 else size for size, step in zip(tensor.shape, tensor.stride(), strict=True)],
        tensor.stride(),
    )
    if not tensor.numel():
        return
    length = span(distinct)
    if length <= distinct.numel():  # dense, or overlapping itself: the memory in its own order
        flat = _slices(distinct.as_strided([length], [1]), 0, CHUNK)
    else:
        flat = _strided(distinct)
    for piece in flat:
        real = torch.view_as_real(piece) if piece.is_complex() else piece
        yield real if real.dtype in COMPARABLE else real.to(torch.float32)


def _strided(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Of a view with gaps: copied, a slice of its longest dimension at a time."""
    longest = max(range(tensor.dim()), key=lambda index: tensor.shape[index])
    rows = max(1, CHUNK * tensor.shape[longest] // tensor.numel())
    return (piece.reshape(-1) for piece in _slices(tensor, longest, rows))


def _slices(tensor: torch.Tensor, dimension: int, rows: int) -> Iterator[torch.Tensor]:
    size = tensor.shape[dimension]
    for start in range(0, size, rows):
        yield tensor.narrow(dimension, start, min(rows, size - start))


def _finite(bound: float) -> bool:
    return bound - bound == 0
