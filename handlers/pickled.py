"""What the pickle inside a checkpoint would import, found by reading its opcodes: nothing is executed."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

LEGACY_PICKLES = 5
"""A file from before PyTorch 1.6 begins with five pickles: magic, protocol, system, object, keys."""


def unsafe_globals(path: Path) -> list[str]:
    """What the pickle inside would import beyond torch's own safe list, found by reading opcodes."""
    safe = _safe_globals()
    return [name for name in dict.fromkeys(_imports(path)) if name not in safe]


def _imports(path: Path) -> Iterator[str]:
    entries = [entry for entry in zip_names(path) if entry.endswith(".pkl")]
    if entries:
        with zipfile.ZipFile(path) as archive:
            for entry in entries:
                try:
                    with archive.open(entry) as pickled:
                        yield from _globals(pickled)
                except Exception:  # a damaged entry tells nothing
                    continue
    else:
        with path.open("rb") as file:
            for _ in range(LEGACY_PICKLES):
                yield from _globals(file)


def _globals(pickled: IO[bytes]) -> Iterator[str]:
    """The dotted names that one pickle refers to, up to its STOP or to where it is malformed."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".", 1)
            elif opcode.name == "STACK_GLOBAL":
                yield ".".join(strings[-2:])
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = strings[-1] if strings else ""
            elif opcode.name.endswith("PUT"):
                memo[int(str(argument))] = strings[-1] if strings else ""
            elif opcode.name.endswith("GET"):
                strings.append(memo.get(int(str(argument)), ""))
            elif isinstance(argument, str):
                strings.append(argument)
    except Exception:  # a malformed pickle ends here; what was found before it counts
        return


def _safe_globals() -> set[str]:
    """What torch.load(weights_only=True) admits."""
    from torch import _weights_only_unpickler  # torch has no public list of its defaults

    return set(_weights_only_unpickler._get_allowed_globals()) | {
        f"{item.__module__}.{item.__qualname__}"
        for item in torch.serialization.get_safe_globals()
        if not isinstance(item, tuple)
    }


def zip_names(path: Path) -> list[str]:
    """What a zip holds; [] for anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # a damaged directory raises more than BadZipFile
        return []
