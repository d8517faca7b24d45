"""Storages: the memory that tensors of a pickle are views of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from handlers.inert import BadPickle, Foreign
from scripts.inspection.reading.mapped import Mapped

DTYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "QInt8Storage": torch.qint8,
    "QInt32Storage": torch.qint32,
    "QUInt8Storage": torch.quint8,
    "QUInt4x2Storage": torch.quint4x2,
    "QUInt2x4Storage": torch.quint2x4,
    "UntypedStorage": torch.uint8,
}
"""The last word of a storage's type in a pickle; torch.storage._dtype_to_storage_type_map has the same."""


class Storage(Foreign):
    """`numel` values of `dtype` on the file's memory, from the value `first` on; of no memory while a
    first pass only counts."""

    __slots__ = ("dtype", "first", "memory", "numel")

    def __init__(
        self, name: str, key: str, numel: int, memory: torch.UntypedStorage | None, first: int = 0
    ) -> None:
        """Raises BadPickle when the memory is too small for it."""
        super().__init__(name, (key, numel))
        self.dtype = dtype_of(name)
        self.numel = numel
        self.memory = memory
        self.first = first
        if memory is not None and (first + numel) * self.dtype.itemsize > memory.nbytes():
            raise BadPickle(
                f"storage {key[:50]!r} has {memory.nbytes():,} bytes, too few for {numel:,} values"
            )


class Memories:
    """The memory of each storage, the same one each time that its key is asked for."""

    def __init__(self, where: Callable[[str], Mapped]) -> None:
        """`where` gives the part of the file that has a key's bytes, or raises Unreadable."""
        self._where = where
        self._known: dict[str, torch.UntypedStorage] = {}

    def of(self, key: str) -> torch.UntypedStorage:
        if key not in self._known:
            self._known[key] = self._where(key).storage()
        return self._known[key]


def dtype_of(name: str) -> torch.dtype:
    """The dtype of "torch.FloatStorage", also of "torch.cuda.FloatStorage"; raises BadPickle."""
    dtype = DTYPES.get(name.rpartition(".")[2])
    if dtype is None or not name.startswith("torch."):
        raise BadPickle(f"no storage type {name[:50]!r}")
    return dtype


def described(pid: Any, fields: int) -> tuple[str, str, int]:
    """(type, key, number of values) of a storage's persistent id, a tuple that begins with "storage",
    type, key, location, number of values. torch.package's keys are numbers. Raises BadPickle."""
    if not isinstance(pid, tuple) or len(pid) != fields or pid[0] not in ("storage", b"storage"):
        raise BadPickle("a persistent id that isn't a storage's")
    kind, key, _, numel = pid[1:5]
    if not isinstance(kind, Foreign) or not isinstance(key, str | int) or not is_count(numel):
        raise BadPickle("a storage's persistent id that is malformed")
    return kind.name, str(key), numel


def is_count(value: Any) -> bool:
    """A whole number that a dimension, a stride or an offset may be."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62
