"""Datatypes of the Open Inference Protocol, as numpy has them. Raw tensors are little-endian, one value after
the other; an element of BYTES has its length, 4 bytes, in front."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from handlers.answers import Array
from handlers.errors import BadInput, ForwardFailed
from handlers.signature import Datatype, Integer
from handlers.wire import json_numbers

INTEGERS = frozenset(get_args(Integer))

NUMBERS: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{name: np.dtype(name.lower()).newbyteorder("<") for name in get_args(Integer)},
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""All but BYTES."""

_NAMES: Mapping[np.dtype[Any], Datatype] = {dtype: name for name, dtype in NUMBERS.items()}  # type: ignore[misc]

_LENGTH = struct.Struct("<I")


def of(array: Array) -> Datatype:
    """The datatype of an answer's tensor; raises ForwardFailed for one that has none."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise ForwardFailed(
            f"a tensor of the answer holds {array.dtype}",
            hint="give bool, numbers, or objects that are bytes",
        )
    return name


def kind(datatype: str) -> type:
    """What JSON has for its values."""
    if datatype == "BOOL":
        return bool
    return int if datatype in INTEGERS else float


def listed(lists: Any, datatype: str, shape: Sequence[int]) -> Array:
    """Lists of `kind`, nested or not, as an array of their own shape. FP16 is rounded to what a raw tensor
    would hold, infinite where it can't, other floats aren't rounded yet. Raises BadInput for ragged lists,
    and for whole numbers that the datatype can't hold."""
    dtype = np.dtype(np.float64) if kind(datatype) is float else NUMBERS[datatype]
    found = json_numbers.as_array(lists, dtype, datatype, shape)
    if datatype != "FP16":
        return found
    with np.errstate(over="ignore"):
        return found.astype(NUMBERS[datatype])


def numbers(raw: bytes | memoryview, datatype: str, shape: Sequence[int]) -> Array:
    """A raw tensor of numbers, not copied; raises BadInput unless it has just the bytes of its shape."""
    dtype = NUMBERS[datatype]
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise bad_tensor(
            f"{len(raw)} bytes came for {datatype} of shape {list(shape)}, which has {wanted}",
            "send all values, each in its own size, lowest byte first",
        )
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def texts(raw: bytes | memoryview, count: int) -> list[bytes]:
    """The elements of a raw tensor of BYTES; raises BadInput unless there are just so many."""
    found: list[bytes] = []
    at = 0
    while len(found) < count and at + _LENGTH.size <= len(raw):
        (size,) = _LENGTH.unpack_from(raw, at)
        start = at + _LENGTH.size
        if size > len(raw) - start:
            break
        at = start + size
        found.append(bytes(raw[start:at]))
    if len(found) != count or at != len(raw):
        raise bad_tensor(
            f"{len(raw)} bytes aren't {count} elements of BYTES, each with its length in front",
            "put the length of each element, 4 bytes, lowest first, before it",
        )
    return found


def packed(array: Array) -> bytes:
    """An answer's tensor as raw bytes."""
    if of(array) != "BYTES":
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    parts = [part for text in elements(array) for part in (_LENGTH.pack(len(text)), text)]
    return b"".join(parts)


def elements(array: Array) -> Iterable[bytes]:
    """Those of a tensor of BYTES, row by row; text is UTF-8."""
    for element in array.ravel().tolist():
        yield element if isinstance(element, bytes) else str(element).encode("utf-8", "replace")


def bad_tensor(message: str, hint: str) -> BadInput:
    return BadInput(message, code="bad_tensor", hint=hint)
