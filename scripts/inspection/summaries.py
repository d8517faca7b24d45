"""One line on a value of a checkpoint: what it is, how much of it, and the plain part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import torch

from handlers.errors import listed
from handlers.inert import Foreign, walk
from scripts.inspection import arrays
from scripts.inspection.printable import SHORT, printable

MOST = 100_000
"""Objects inside one value that are looked at: a file may refer to the same million a thousand times."""

FEW = 4
"""Entries of a mapping or a list that are shown before the rest is counted."""


def summary(value: object) -> str:
    """In one line that is safe to print: "12", "161 tensors, 90.1 MiB, lr 0.001", "list of 3: a, b, c"."""
    if plain(value):
        return printable(
            value if isinstance(value, str) else repr(value[:SHORT] if isinstance(value, bytes) else value)
        )
    if isinstance(value, torch.Tensor):
        return tensor_line(value)
    if isinstance(value, Foreign):
        value = arrays.items(value) or value
    parts = list(islice(walk(value), MOST))
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    least = "at least " if len(parts) == MOST else ""
    held = (
        [f"{least}{counted(len(tensors), 'tensor')}, {sized(sum(map(nbytes, tensors)))}"] if tensors else []
    )
    return ", ".join(held + _rest(value)) or _sort(value)


def plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)


def counted(number: int, noun: str, nouns: str = "") -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def sized(size: float) -> str:
    """Bytes as people say them: "90.1 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1024
    return f"{size:,.1f} GiB"


def tensor_line(tensor: torch.Tensor) -> str:
    if tensor.numel() == 1 and not tensor.is_complex():
        return str(tensor.reshape(()).item())
    return f"tensor {list(tensor.shape)} {dtype_name(tensor.dtype)}"


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def nbytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def entries(value: object) -> Mapping[object, object]:
    """Those of a mapping, or of an instance of a dict's subclass, which would have been set in it."""
    if isinstance(value, Foreign):
        return {name: item for name, item in value.pairs if isinstance(name, str)}
    return value if isinstance(value, Mapping) else {}


def attributes(value: object) -> Mapping[object, object]:
    """What it holds by name: its entries, or those of an object's state; else nothing."""
    if isinstance(value, Foreign) and not value.pairs and isinstance(value.state, Mapping):
        return value.state
    return entries(value)


def _rest(value: object) -> list[str]:
    """The plain entries, and an optimizer's learning rate."""
    named = {str(name): item for name, item in attributes(value).items() if plain(item)}
    groups = attributes(value).get("param_groups")
    if isinstance(groups, list) and groups:
        named |= {key: item for key, item in attributes(groups[0]).items() if key == "lr" and plain(item)}
    if named:
        return [listed((f"{printable(name, 40)} {summary(item)}" for name, item in named.items()), FEW)]
    if isinstance(value, Sequence) and value and all(map(plain, value)):
        return [f"list of {len(value)}: {listed(map(summary, value), FEW)}"]
    return []


def _sort(value: object) -> str:
    """What is said of something without a plain part."""
    if isinstance(value, Foreign):
        return printable(value.name)
    if isinstance(value, Mapping):
        keys = listed((printable(str(key), 40) for key in value), FEW)
        return f"{len(value)} entries: {keys}" if value else "empty"
    if isinstance(value, list | tuple | set | frozenset):
        return f"list of {len(value)}" if value else "empty"
    return type(value).__name__
