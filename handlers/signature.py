"""What a model takes, as named tensors in the words of the Open Inference Protocol."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from handlers.recipe import ImageInput, Model

Integer: TypeAlias = Literal["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
Datatype: TypeAlias = Literal["BOOL", "FP16", "FP32", "FP64", "BYTES"] | Integer

IMAGE, NUMBERS = "image", "input"
"""Names of the inputs: pictures in their file format, and numbers. A model takes one or the other."""


class TensorSpec(Struct, frozen=True):
    """One tensor; in its shape -1 is any number, and the first is that of the items."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


def inputs(model: Model) -> tuple[TensorSpec, ...]:
    """Each of the inputs that a request may have, of which it has one."""
    found = []
    for part in model.inputs:
        if isinstance(part, ImageInput):
            found.append(TensorSpec(IMAGE, "BYTES", (-1,)))
        else:
            datatype: Datatype = "INT64" if part.dtype == "int64" else "FP32"
            found.append(TensorSpec(NUMBERS, datatype, (-1, *part.shape)))
    return tuple(found)
