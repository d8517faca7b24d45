"""Numbers in JSON -> items of the declared shape.

They are decoded with the declared nesting depth and type, so that text, null and ragged lists are
refused while decoding; JSON knows no NaN.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from handlers.errors import BadInput
from handlers.recipe import TensorInput
from handlers.wire import array, refusals
from handlers.wire.types import Item

_anything = msgspec.json.Decoder(msgspec.Raw)

SHORT = 2**15
"""Bytes; lists of them take a megabyte at most."""


def read(value: bytes, depth: int, declared: TensorInput, most: int) -> tuple[tuple[Item, ...], bool]:
    """(items, whether it was a list) of lists that open `depth` brackets, at most `most` items.

    Raises BadInput, or msgspec's errors for what is no JSON or holds no numbers.
    """
    rank = len(declared.shape)
    if depth not in (rank, rank + 1):
        _anything.decode(value)  # what isn't JSON at all is told as that, and nothing is built of it
        raise refusals.wrong_shape(declared, f"nested {depth} deep")
    if not within(value, (most, *declared.shape) if depth > rank else declared.shape):
        raise refusals.too_many(most) if depth > rank else refusals.wrong_shape(declared, "larger")
    lists = decoder(depth, int if declared.dtype == "int64" else float).decode(value)
    if depth > rank and len(lists) > most:
        raise refusals.too_many(most)
    try:
        return array.split(_array(lists, declared), declared, most)
    except BadInput:
        if depth == rank:
            raise
        items = tuple(_item(one, declared) for one in lists)
        if all(isinstance(item, BadInput) for item in items):
            raise
        return items, True


def within(value: bytes, shape: Sequence[int]) -> bool:
    """Whether lists of this shape may be built: far more brackets or commas than they have are none.

    What is short can't become large: it isn't counted.
    """
    if len(value) <= SHORT:
        return True
    brackets = _brackets(shape)
    return value.count(b"[") <= brackets + 1 and value.count(b",") <= commas(shape)


def commas(shape: Sequence[int]) -> int:
    """At least as many as lists of this shape have."""
    return _brackets(shape) + math.prod(shape)


def _brackets(shape: Sequence[int]) -> int:
    return sum(math.prod(shape[:rank]) for rank in range(len(shape)))


def _item(lists: Any, declared: TensorInput) -> Item:
    """One of a list whose items can't be read together, so that each bad one is told by its index."""
    try:
        (item,), _ = array.split(_array(lists, declared), declared, 1)
    except BadInput as error:
        return error
    return item


def _array(lists: Any, declared: TensorInput) -> npt.NDArray[np.generic]:
    dtype = np.dtype(np.int64 if declared.dtype == "int64" else np.float64)
    return as_array(lists, dtype, declared.dtype, declared.shape)


def as_array(lists: Any, dtype: np.dtype[Any], named: str, shape: Sequence[int]) -> npt.NDArray[np.generic]:
    """Lists of numbers as they nest; raises BadInput, which names the type and the shape that are wanted."""
    try:
        if lists and type(lists[0]) is float:
            return np.frombuffer(struct.pack(f"{len(lists)}d", *lists))  # three times as fast as asarray
        return np.asarray(lists, dtype=dtype)
    except OverflowError:
        raise refusals.unfitting(named) from None
    except ValueError:
        raise BadInput(
            "the lists are ragged: their lengths differ", code="wrong_shape", hint=f"send shape {list(shape)}"
        ) from None


@cache
def decoder(depth: int, kind: type) -> msgspec.json.Decoder[Any]:
    """A decoder of lists nested `depth` deep, holding what is of this kind only: int, float or bool."""
    nested: Any = kind
    for _ in range(depth):
        nested = list[nested]
    return msgspec.json.Decoder(nested)
