"""Exported programs (.pt2): a zip of a graph and, beside it, the weights by name.

Since PyTorch 2.8 each weight is a record that a JSON file describes; before, all were one torch.save'd file
inside the zip.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from msgspec import Struct

from handlers.inert import BadPickle
from scripts.inspection.reading.content import Content, Unreadable
from scripts.inspection.reading.mapped import Mapped
from scripts.inspection.reading.rebuilding import view
from scripts.inspection.reading.records import Records
from scripts.inspection.reading.storages import Memories, Storage
from scripts.inspection.reading.torch_zip import read_torch_zip, refuse_big_endian

CONFIG = "data/weights/model_weights_config.json"
OLD_STATE = "serialized_state_dict.pt"

DTYPES: dict[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    9: torch.complex32,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
    28: torch.uint16,
    29: torch.float8_e4m3fn,
    30: torch.float8_e5m2,
    31: torch.float8_e4m3fnuz,
    32: torch.float8_e5m2fnuz,
    33: torch.float8_e8m0fnu,
    34: torch.uint32,
    35: torch.uint64,
}
"""torch._export.serde.schema.ScalarType, whose import takes seconds."""


class Whole(Struct, frozen=True):
    """A number that isn't symbolic."""

    as_int: int


class Meta(Struct, frozen=True):
    """How a tensor lies on its record."""

    dtype: int
    sizes: tuple[Whole, ...]
    strides: tuple[Whole, ...]
    storage_offset: Whole


class Weight(Struct, frozen=True):
    """One line of the weights' description."""

    path_name: str
    tensor_meta: Meta | None = None
    use_pickle: bool = False


class Weights(Struct, frozen=True):
    """The weights' description."""

    config: dict[str, Weight]


def read_exported(records: Records) -> Content:
    """The root is a dict of parameters and buffers by name. Raises Unreadable or BadPickle."""
    refuse_big_endian(records)
    if CONFIG in records:
        return _described(records)
    if OLD_STATE in records:
        return read_torch_zip(Records(records.part(OLD_STATE)))
    raise Unreadable("is an exported program without weights in it", hint="give the weights' file")


def _described(records: Records) -> Content:
    try:
        weights = msgspec.json.decode(records.part(CONFIG).bytes(), type=Weights).config
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(
            f"has weights whose description is malformed ({str(error)[:80]})", hint="export it again"
        ) from None
    memories = Memories(lambda name: records.part(f"data/weights/{name}"))
    return Content({name: _tensor(weight, records, memories) for name, weight in weights.items()})


def _tensor(weight: Weight, records: Records, memories: Memories) -> Any:
    meta = weight.tensor_meta
    if weight.use_pickle or meta is None:
        return _pickled(records.part(f"data/weights/{weight.path_name}"))
    dtype = DTYPES.get(meta.dtype)
    if dtype is None:
        raise BadPickle(f"a weight of the unknown dtype {meta.dtype}")
    memory = memories.of(weight.path_name)
    storage = Storage("torch.UntypedStorage", weight.path_name, memory.nbytes(), memory)
    shape, stride = ([whole.as_int for whole in each] for each in (meta.sizes, meta.strides))
    return view(storage, dtype, meta.storage_offset.as_int, tuple(shape), tuple(stride))


def _pickled(part: Mapped) -> Any:
    """A weight of a tensor subclass, which is a torch.save'd file of its own."""
    return read_torch_zip(Records(part)).root
