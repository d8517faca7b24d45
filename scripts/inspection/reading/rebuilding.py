"""What torch.save's pickles call, done without calling it: tensors as views, and plain containers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from handlers.inert import BadPickle, Foreign
from scripts.inspection import arrays
from scripts.inspection.reading.storages import Storage, is_count

MOST_DIMENSIONS = 64


def view(storage: Storage, dtype: torch.dtype, offset: Any, shape: Any, stride: Any) -> Any:
    """The tensor that lies on a storage in this way, counted in values of `dtype`; raises BadPickle.

    Whether it stays inside is decided here, in Python's whole numbers: torch would enlarge the storage.
    """
    if not _are_counts(shape) or not _are_counts(stride) or len(shape) != len(stride) or not is_count(offset):
        raise BadPickle("a tensor whose shape or stride is malformed")
    available = storage.numel * storage.dtype.itemsize // dtype.itemsize
    values = prod(shape)
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if values and last >= available:
        raise BadPickle(f"a tensor of shape {list(shape)} reaches beyond its storage of {available:,} values")
    if values * dtype.itemsize >= 1 << 62:
        raise BadPickle("a tensor of more values than there are addresses")
    if storage.memory is None:
        return None
    first = storage.first * storage.dtype.itemsize // dtype.itemsize
    return torch.empty(0, dtype=dtype).set_(storage.memory, first + offset if values else 0, shape, stride)


def rebuild(name: str, args: tuple[Any, ...] | None) -> Any:
    """handlers.inert's Rebuild for what torch.save writes; NotImplemented for anything else."""
    if args is None:
        return _dtype(name) or NotImplemented
    known = CALLS.get(name)
    if known is None:
        return NotImplemented
    try:
        return known(*args)
    except BadPickle:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError, AttributeError) as error:
        raise BadPickle(f"{name} with arguments that it can't have ({str(error)[:80]})") from None


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= MOST_DIMENSIONS and all(map(is_count, values))


def _dtype(name: str) -> torch.dtype | None:
    found = getattr(torch, name.removeprefix("torch."), None) if name.count(".") == 1 else None
    return found if name.startswith("torch.") and isinstance(found, torch.dtype) else None


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
    """_rebuild_tensor and _rebuild_tensor_v2: what follows is requires_grad, hooks and metadata."""
    if not isinstance(storage, Storage):
        raise TypeError("no storage")
    return view(storage, storage.dtype, offset, shape, stride)


def _tensor_of_dtype(
    storage: Any, offset: Any, shape: Any, stride: Any, _: Any, __: Any, dtype: Any, *___: Any
) -> Any:
    """_rebuild_tensor_v3, of the dtypes that have no storage type of their own."""
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise TypeError("no storage or no dtype")
    return view(storage, dtype, offset, shape, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    """What follows is requires_grad, hooks and attributes."""
    return tensor


def _from_type(call: Any, _: Any, args: Any, __: Any) -> Any:
    """A tensor of a subclass, or with attributes: the tensor alone."""
    known = isinstance(call, Foreign) and call.args is None and call.name.startswith("torch._utils.")
    return rebuild(call.name, args) if known and isinstance(args, tuple) else NotImplemented


def _ordered(pairs: Any = ()) -> Any:
    """OrderedDict and Counter: of a dict, whose keys were checked, or of [name, value] as Python 2 writes."""
    if isinstance(pairs, dict):
        return dict(pairs)
    named = all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs)
    return dict(pairs) if named else NotImplemented


def _encoded(text: Any, encoding: Any = "utf-8") -> Any:
    """_codecs.encode: how Python 2's protocol writes bytes."""
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        return NotImplemented
    return str.encode(text, encoding)


def _size(values: Any = ()) -> Any:
    return (
        values if isinstance(values, tuple) else tuple(values) if isinstance(values, list) else NotImplemented
    )


def _set(values: Any = ()) -> Any:
    plain = isinstance(values, list) and all(isinstance(value, str | bytes) for value in values)
    return set(values) if plain else NotImplemented


def _device(kind: Any, index: Any = None) -> Any:
    return f"{kind:s}" if index is None else f"{kind:s}:{index:d}"


def _reconstructed(cls: Any, *_: Any) -> Any:
    """An object as protocols 0 and 1 write it: its class, to be filled."""
    return Foreign(cls.name, ()) if isinstance(cls, Foreign) else NotImplemented


CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _ordered,
    "torch.Size": _size,
    "torch.device": _device,
    "_codecs.encode": _encoded,
    **dict.fromkeys([f"{module}.scalar" for module in arrays.MODULES], arrays.scalar),
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    **dict.fromkeys(("builtins.set", "__builtin__.set"), _set),
    **dict.fromkeys(("builtins.complex", "__builtin__.complex"), lambda real, imag: complex(real, imag)),
    **dict.fromkeys(("builtins.bytearray", "__builtin__.bytearray"), lambda value=b"": value),
}
"""Those of torch.load(weights_only=True) that pickles of checkpoints have, by what they give."""
