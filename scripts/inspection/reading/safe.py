"""safetensors: a length, a JSON header that says where each tensor lies, and their bytes."""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec
import torch
from msgspec import Struct

from scripts.inspection.reading.content import Content, Unreadable
from scripts.inspection.reading.mapped import Mapped
from scripts.inspection.reading.rebuilding import MOST_DIMENSIONS
from scripts.inspection.reading.storages import is_count

LENGTH = 8
LARGEST_HEADER = 100_000_000
"""Bytes; the same limit as in the safetensors library."""

METADATA = "__metadata__"

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}


class Entry(Struct, frozen=True):
    """One tensor of the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def is_safetensors(file: Mapped) -> bool:
    """Whether it begins with a length and a JSON object, as no text does."""
    head = file.content[file.start : file.start + LENGTH + 1]
    return head[LENGTH:] == b"{" and b"\x00" in head[:LENGTH]


def read_safetensors(file: Mapped) -> Content:
    """The root is a dict of tensors in the header's order. Raises Unreadable."""
    length = int.from_bytes(file.part(0, LENGTH).bytes(), "little")
    if length > LARGEST_HEADER:
        raise _damaged(f"its header would have {length:,} bytes")
    header = _header(file.part(LENGTH, length).bytes())
    metadata = header.pop(METADATA, {})
    values = file.part(LENGTH + length, file.size - LENGTH - length)
    entries = {name: _entry(name, value) for name, value in header.items()}
    _check_layout(entries, values.size)
    return Content(
        {name: _tensor(entry, values) for name, entry in entries.items()}, metadata=_strings(metadata)
    )


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _damaged(f"its header is no JSON ({str(error)[:80]})") from None
    return header


def _entry(name: str, value: Any) -> Entry:
    try:
        entry = msgspec.convert(value, Entry)
    except msgspec.ValidationError as error:
        raise _damaged(f"{name[:100]!r} is malformed ({str(error)[:80]})") from None
    if entry.dtype not in DTYPES:
        raise _damaged(f"{name[:100]!r} has the dtype {entry.dtype[:20]!r}")
    if len(entry.shape) > MOST_DIMENSIONS or not all(map(is_count, (*entry.shape, *entry.data_offsets))):
        raise _damaged(f"{name[:100]!r} has an impossible shape")
    return entry


def _check_layout(entries: dict[str, Entry], size: int) -> None:
    """Each begins where another ends, as the library demands: no holes, and no tensor on another's bytes."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != position or end - begin != prod(entry.shape) * DTYPES[entry.dtype].itemsize:
            raise _damaged(f"{name[:100]!r} doesn't lie where its shape and its neighbours need it")
        position = end
    if position > size:
        raise Unreadable(
            f"is safetensors cut short: {position:,} bytes of tensors are promised, {size:,} are there",
            hint="copy it again",
        )
    if position < size:
        raise _damaged(f"{size - position:,} bytes belong to no tensor")


def _tensor(entry: Entry, values: Mapped) -> torch.Tensor:
    begin, end = entry.data_offsets
    memory = values.part(begin, end - begin).storage()
    steps = [prod(entry.shape[place + 1 :]) for place in range(len(entry.shape))]
    return torch.empty(0, dtype=DTYPES[entry.dtype]).set_(memory, 0, entry.shape, steps)


def _strings(metadata: Any) -> dict[str, str]:
    try:
        return msgspec.convert(metadata, dict[str, str])
    except msgspec.ValidationError:
        raise _damaged("its metadata isn't text by name") from None


def _damaged(why: str) -> Unreadable:
    return Unreadable(f"is damaged safetensors: {why}", hint="copy it again")
