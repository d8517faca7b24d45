"""The table of a library's fingerprints: built once, kept beside the library's other caches."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console

from handlers.mismatch import Shape
from scripts import caches
from scripts.architectures import building
from scripts.architectures.fingerprint import Fingerprint, Rule
from scripts.architectures.match import Family, Library

VERSION = 2
"""Of what a fingerprint holds: raise it when the code that makes them changes."""

FOLDER = "pthserve-architectures"


class _Row(Struct, frozen=True, array_like=True):
    """A fingerprint, its names and shapes as places in the table's lists of them."""

    builder: str
    family: Family
    args: dict[str, Any]
    names: list[int]
    shapes: list[int]
    rules: list[Rule]
    heads: list[str]
    stem: str
    children: list[str]
    defaults: dict[str, int]


class _Table(Struct, frozen=True, array_like=True):
    """Every name and shape once: most builders of a family share theirs."""

    names: list[str]
    shapes: list[Shape]
    rows: list[_Row]


def load(library: Library, console: Console, folders: Iterable[Path] | None = None) -> list[Fingerprint]:
    """The library's fingerprints, from the first of the folders that has them, else built now.

    They are written where that can be done first. The default folders are those of `scripts.caches`.
    """
    places = list(caches.folders(FOLDER) if folders is None else folders)
    name = f"{library}-{_key(library)}"
    for place in places:
        with contextlib.suppress(OSError, ValueError, IndexError, zlib.error):  # absent, or damaged
            return _unpacked(library, (place / name).read_bytes())
    found = building.build(library, console)
    content = _packed(found)
    for place in places:
        with contextlib.suppress(OSError):  # read-only, or full
            _write(place / name, content)
            break
    return found


def _key(library: Library) -> str:
    """Another version of the library, of torch or of our own code gives another table."""
    versions = sorted(building.versions(library).items())
    return hashlib.sha256(repr((VERSION, versions)).encode()).hexdigest()[:16]


def _packed(fingerprints: list[Fingerprint]) -> bytes:
    names = _numbered(name for one in fingerprints for name in one.names)
    shapes = _numbered(shape for one in fingerprints for shape in one.shapes)
    rows = [
        _Row(
            one.builder,
            one.family,
            one.args,
            [names[name] for name in one.names],
            [shapes[shape] for shape in one.shapes],
            one.rules,
            one.heads,
            one.stem,
            one.children,
            one.defaults,
        )
        for one in fingerprints
    ]
    return zlib.compress(msgspec.msgpack.encode(_Table(list(names), list(shapes), rows)), 9)


def _numbered(items: Iterable[Any]) -> dict[Any, int]:
    """Each once -> its place, in order of first appearance."""
    return dict(zip(dict.fromkeys(items), itertools.count()))


def _unpacked(library: Library, content: bytes) -> list[Fingerprint]:
    """Raises zlib.error, ValueError (msgspec's are) or IndexError for what isn't such a table."""
    table = msgspec.msgpack.decode(zlib.decompress(content), type=_Table)
    return [
        Fingerprint(
            library,
            row.builder,
            row.family,
            row.args,
            [table.names[index] for index in row.names],
            [table.shapes[index] for index in row.shapes],
            row.rules,
            row.heads,
            row.stem,
            row.children,
            row.defaults,
        )
        for row in table.rows
    ]


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, however many processes do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, unfinished = tempfile.mkstemp(prefix=".building-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
