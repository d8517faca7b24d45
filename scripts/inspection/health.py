"""What the values tell of training: NaN, zeros, and BatchNorm statistics that were never updated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from msgspec import Struct

from scripts.inspection.scanning import Values, scan
from scripts.inspection.summaries import dtype_name
from scripts.inspection.tensors import Range, touched

REPEATS = 4
"""How often a byte may be looked at, on average, for the sake of tensors that overlap in different ways."""


class Nonfinite(Struct, frozen=True):
    """A tensor with values that no forward pass survives."""

    name: str
    nan: int
    inf: int


class Health(Struct, frozen=True):
    """What was seen, tensors and modules by name."""

    nonfinite: tuple[Nonfinite, ...] = ()
    zero: tuple[str, ...] = ()
    """Parameters of more than one value that are all zero, biases aside, which often start so."""
    norms: int = 0
    """Modules that keep running statistics."""
    untrained: tuple[str, ...] = ()
    """Those whose running_mean is all 0 and running_var all 1, as they start."""
    batches: int = 0
    """How many batches of training the busiest of them counted; 0 also where the file has no counters."""
    narrow: tuple[str, ...] = ()
    """Floating dtypes narrower than float32."""
    unseen: tuple[str, ...] = ()
    """Tensors that were not looked at: they lie across others, in too many ways."""


def examine(state: Mapping[str, torch.Tensor]) -> Health:
    """Every value is looked at, once wherever tensors share memory alike."""
    values = dict(_values(state))
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    return Health(
        nonfinite=tuple(
            Nonfinite(name, one.nan, one.inf) for name, one in values.items() if one.nan or one.inf
        ),
        zero=tuple(name for name, one in values.items() if _suspect(name, state[name]) and _all(one, 0)),
        norms=len(norms),
        untrained=tuple(norm.removesuffix(".") for norm in norms if _starts(norm, values)),
        batches=max((_counted(values.get(f"{norm}num_batches_tracked")) for norm in norms), default=0),
        narrow=tuple(dict.fromkeys(dtype_name(one.dtype) for one in state.values() if _narrow(one))),
        unseen=tuple(name for name in state if name not in values),
    )


def _values(state: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, Values]]:
    """(name, its values), as long as there is work left: hostile tensors may overlap without end."""
    left = REPEATS * _covered(state)
    known: dict[tuple[object, ...], Values] = {}
    for name, tensor in state.items():
        first, behind = touched(tensor)
        view = (first, behind, tensor.dtype, tuple(tensor.shape), tensor.stride())
        if view not in known:
            if behind - first > left:
                continue
            left -= behind - first
            known[view] = scan(tensor)
        yield name, known[view]


def _covered(state: Mapping[str, torch.Tensor]) -> int:
    """Bytes of memory that the tensors lie on together."""
    total = end = 0
    ranges: list[Range] = sorted(touched(tensor) for tensor in state.values() if tensor.numel())
    for first, behind in ranges:
        total += max(0, behind - max(first, end))
        end = max(end, behind)
    return total


def _starts(norm: str, values: Mapping[str, Values]) -> bool:
    return _all(values.get(f"{norm}running_mean"), 0) and _all(values.get(f"{norm}running_var"), 1)


def _all(values: Values | None, number: float) -> bool:
    return values is not None and values.low == values.high == number


def _counted(values: Values | None) -> int:
    return int(values.high) if values is not None and 0 < values.high < 2**62 else 0


def _suspect(name: str, tensor: torch.Tensor) -> bool:
    """Whether zeros alone are worth a word."""
    last = name.rpartition(".")[2]
    return tensor.is_floating_point() and tensor.numel() > 1 and "bias" not in last and "running" not in last


def _narrow(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() < 4
