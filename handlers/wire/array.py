"""An .npy body, or a nested list that was decoded already -> items of the declared shape."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt

from handlers.errors import BadInput
from handlers.recipe import Model, TensorInput
from handlers.wire import refusals
from handlers.wire.types import Item, Numbers

MAGIC = b"\x93NUMPY"


def read(body: bytes, recipe: Model) -> tuple[tuple[Item, ...], bool]:
    """(items, whether it was a list) of an .npy file; raises BadInput.

    The array has the declared shape, or one more dimension in front. Nothing is unpickled, and what the
    header says is held against the body's length before any memory is taken for it.
    """
    declared = recipe.tensor_input()
    if declared is None:
        raise refusals.no_arrays()
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = header(stream)
    except Exception as error:  # the header is a Python literal: it can be wrong in any way
        raise BadInput(
            f"the .npy header can't be read ({type(error).__name__})",
            code="bad_npy",
            hint="write it with numpy.save",
        ) from None
    if not all(type(size) is int and 0 <= size <= len(body) for size in shape):
        raise BadInput(
            "the .npy header's shape isn't that of its values",
            code="bad_npy",
            hint="write it with numpy.save",
        )
    if dtype.kind not in "biuf":
        raise BadInput(
            f"the .npy array holds {dtype}"[:100], code="wrong_type", hint=f"send {declared.dtype} numbers"
        )
    content = memoryview(body)[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(content):
        raise BadInput(
            f"the .npy header says {shape} of {dtype}, the body has {len(content)} bytes of values"[:200],
            code="bad_npy",
            hint="it may be cut short; write it with numpy.save",
        )
    if declared.dtype == "int64" and not np.can_cast(dtype, np.int64):
        raise BadInput(f"the .npy array holds {dtype}", code="wrong_type", hint="send int64 numbers")
    _is_many(shape, declared)  # before numpy sees it: a shape of 70 dimensions is none that it can have
    values = np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return split(values, declared, recipe.max_items)


def split(values: npt.NDArray[np.generic], declared: TensorInput, most: int) -> tuple[tuple[Item, ...], bool]:
    """(items, whether it was a list): one array of the declared shape, or a list of at most `most`."""
    many = _is_many(values.shape, declared)
    if many and not len(values):
        raise BadInput("the list of items is empty", code="empty_body", hint="send at least one")
    if many and len(values) > most:
        raise refusals.too_many(most)
    with np.errstate(over="ignore", invalid="ignore"):  # overflow becomes inf, which its item is refused for
        cast = np.ascontiguousarray(values, dtype=np.int64 if declared.dtype == "int64" else np.float32)
    return tuple(Numbers(item) for item in (cast if many else cast[None])), many


def _is_many(shape: tuple[int, ...], declared: TensorInput) -> bool:
    """Whether the shape is that of a list of items; raises BadInput when it isn't one item's either."""
    one = tuple(declared.shape)
    if shape not in (one, (*shape[:1], *one)):
        raise refusals.wrong_shape(declared, str(list(shape)))
    return shape != one
