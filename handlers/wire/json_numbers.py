"""Numbers in JSON -> items of the declared shape.

They are decoded with the declared nesting depth and type, so that text, null and ragged lists are
refused while decoding; JSON knows no NaN.
"""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from handlers.errors import BadInput
from handlers.recipe import TensorInput
from handlers.wire import array, refusals
from handlers.wire.types import Item

SHORT = 2**15
"""Bytes; lists of them take a megabyte at most."""


def read(value: bytes, depth: int, declared: TensorInput, most: int) -> tuple[tuple[Item, ...], bool]:
    """(items, whether it was a list) of lists that open `depth` brackets, at most `most` items.

    Raises BadInput, or msgspec's errors for what is no JSON or holds no numbers.
    """
    rank = len(declared.shape)
    if depth not in (rank, rank + 1):
        msgspec.json.decode(value)  # what isn't JSON at all is told as that
        raise refusals.wrong_shape(declared, f"nested {depth} deep")
    _check_extent(value, declared, most if depth > rank else None)
    lists = _decoder(depth, declared.dtype).decode(value)
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


def _check_extent(value: bytes, declared: TensorInput, most: int | None) -> None:
    """Far more brackets or commas than the largest request has are refused before any list is built.

    What is short can't become large: it isn't counted.
    """
    if len(value) <= SHORT:
        return
    sizes = [math.prod(declared.shape[:rank]) for rank in range(len(declared.shape))]
    items = 1 if most is None else most
    brackets, commas = items * sum(sizes) + 1, items * (math.prod(declared.shape) + sum(sizes))
    if value.count(b"[") > brackets or value.count(b",") > commas:
        raise refusals.wrong_shape(declared, "larger") if most is None else refusals.too_many(most)


def _item(lists: Any, declared: TensorInput) -> Item:
    """One of a list whose items can't be read together, so that each bad one is told by its index."""
    try:
        (item,), _ = array.split(_array(lists, declared), declared, 1)
    except BadInput as error:
        return error
    return item


def _array(lists: Any, declared: TensorInput) -> npt.NDArray[np.generic]:
    try:
        if lists and type(lists[0]) is float:
            return np.frombuffer(struct.pack(f"{len(lists)}d", *lists))  # three times as fast as asarray
        return np.asarray(lists, dtype=np.int64 if declared.dtype == "int64" else np.float64)
    except OverflowError:
        raise BadInput(
            "a number is too large", code="not_finite", hint=f"send {declared.dtype} numbers"
        ) from None
    except ValueError:
        raise BadInput(
            "the lists are ragged: their lengths differ",
            code="wrong_shape",
            hint=f"send shape {declared.shape}",
        ) from None


@cache
def _decoder(depth: int, dtype: str) -> msgspec.json.Decoder[Any]:
    """A decoder of lists nested `depth` deep, holding numbers only."""
    kind: Any = int if dtype == "int64" else float
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)
