"""What the pickles inside a checkpoint would import, and why torch would refuse them: nothing is executed."""

from __future__ import annotations

import _compat_pickle
import mmap
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from handlers.inert import BadPickle, Pickled, Source, read
from handlers.inert.opcodes import MOST_BYTES

LEGACY_PICKLES = 5
"""A file from before PyTorch 1.6 begins with five pickles: magic, protocol, system, object, keys."""

SOURCES = (".py", ".debug_pkl")
"""Entries of TorchScript and torch.package that hold code, which torch compresses itself."""

LONGEST_NAME = 100
"""Of a global in a message; Python's own are shorter."""

# fmt: off
KNOWN_OPCODES = frozenset((
    "APPEND", "APPENDS", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2", "BINPERSID", "BINPUT",
    "BINUNICODE", "BUILD", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "GLOBAL", "LONG1",
    "LONG_BINGET", "LONG_BINPUT", "MARK", "NEWFALSE", "NEWOBJ", "NEWTRUE", "NONE", "PROTO", "REDUCE",
    "SETITEM", "SETITEMS", "SHORT_BINSTRING", "STOP", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
))
# fmt: on
"""Those that torch.load(weights_only=True) reads: torch/_weights_only_unpickler.py."""


def unsafe_globals(path: Path) -> list[str]:
    """What the pickles inside would import beyond torch's own safe list, fit to be printed."""
    return [printable(name) for name in refused(dict.fromkeys(_imports(path)))]


def refused(names: Iterable[str]) -> list[str]:
    """Those of the globals that torch.load(weights_only=True) won't import."""
    safe = _safe_globals()
    return [name for name in names if _renamed(name) not in safe]


def obstacles(pickled: Pickled) -> list[str]:
    """What else than a global's name makes torch.load(weights_only=True) refuse a pickle."""
    beyond = sorted(pickled.opcodes - KNOWN_OPCODES)
    found = [f"its pickle has {', '.join(beyond)}, which torch.load reads only unsafely"] if beyond else []
    return found + [f"its pickle does {deed}" for deed in pickled.unusual]


def printable(name: str, most: int = LONGEST_NAME) -> str:
    """A text from a file without control characters, shortened."""
    plain = name if name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= most else f"{plain[:most]}..."


def zip_names(path: Path) -> list[str]:
    """What a zip holds; [] for anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # a damaged directory raises more than BadZipFile
        return []


def is_compressed(path: Path) -> bool:
    """Whether a checkpoint's zip has a pickle or a storage that can't be read in place."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    return any(entry.compress_type and not entry.filename.endswith(SOURCES) for entry in entries)


def leading_globals(path: Path, pickles: int = LEGACY_PICKLES) -> Iterator[str]:
    """The globals of the pickles that a file begins with, up to where one is malformed."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        source = Source(content)
        for _ in range(pickles):
            try:
                yield from read(source).names
            except BadPickle as bad:
                yield from bad.names
                return
            source = Source(content, source.position)


def _imports(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if not zipped:
        yield from leading_globals(path)
        return
    for entry in zip_names(path):
        if entry.endswith(".pkl"):
            yield from _entry_globals(path, entry)


def _entry_globals(path: Path, entry: str) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(entry) as pickled:
            return read(Source(pickled.read(MOST_BYTES))).names
    except BadPickle as bad:
        return bad.names
    except Exception:  # a damaged entry tells nothing
        return ()


def _renamed(name: str) -> str:
    """As torch and Python 3 know what Python 2 called otherwise: `__builtin__.set`."""
    module, _, attribute = name.rpartition(".")
    if (module, attribute) in _compat_pickle.NAME_MAPPING:
        return ".".join(_compat_pickle.NAME_MAPPING[module, attribute])
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{attribute}"


def _safe_globals() -> set[str]:
    """What torch.load(weights_only=True) admits."""
    from torch import _weights_only_unpickler  # torch has no public list of its defaults

    return set(_weights_only_unpickler._get_allowed_globals()) | {
        f"{item.__module__}.{item.__qualname__}"
        for item in torch.serialization.get_safe_globals()
        if not isinstance(item, tuple)
    }
