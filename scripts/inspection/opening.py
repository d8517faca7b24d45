"""A file or folder -> Opened, whatever its format, with nothing of it executed.

folder -> the file in there -> mapped -> reader of its format -> Opened
                                  |
                          noncheckpoint: what it is instead
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from handlers import noncheckpoint, pickled
from handlers.errors import BadCheckpoint, listed
from handlers.inert import BadPickle
from scripts.inspection.opened import Format, Opened
from scripts.inspection.reading import sharded
from scripts.inspection.reading.config import read_config
from scripts.inspection.reading.content import Content, Unreadable
from scripts.inspection.reading.exported import CONFIG, OLD_STATE, read_exported
from scripts.inspection.reading.legacy import is_legacy, read_legacy
from scripts.inspection.reading.mapped import Mapped, mapped
from scripts.inspection.reading.packaged import read_package
from scripts.inspection.reading.records import Records
from scripts.inspection.reading.safe import is_safetensors, read_safetensors
from scripts.inspection.reading.torch_zip import read_torch_zip
from scripts.inspection.reading.torchscript import read_torchscript

ZIPS: tuple[tuple[tuple[str, ...], Format, Callable[[Records], Content]], ...] = (
    ((CONFIG, OLD_STATE, "archive_format"), "exported program", read_exported),
    ((".data/extern_modules", ".data/python_version"), "torch.package", read_package),
    (("constants.pkl",), "TorchScript", read_torchscript),
    (("data.pkl",), "torch zip", read_torch_zip),
)
"""(records one of which tells the format, the format, its reader), the more special first."""

MOST_SHARDS, LONGEST_REASON = 1000, 300


def open_checkpoint(path: Path) -> Opened:
    """A checkpoint's content, of a file or of the one in a folder; raises BadCheckpoint.

    Its tensors stay on the file's memory: they may lie at addresses that aren't multiples of their size.
    """
    try:
        file = sharded.chosen(path) if path.is_dir() else path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of dtypes that it would rather not compute with
            opened = _sharded(file) if sharded.is_index(file) else _single(file)
            return replace(opened, config=read_config(path)) if path.is_dir() else opened
    except OSError as error:
        raise BadCheckpoint(f"{path}: can't be read ({error.strerror})", hint="check the path") from None


def _single(path: Path) -> Opened:
    if not path.is_file() or not path.stat().st_size:
        raise noncheckpoint.refusal(path)
    try:
        file = mapped(path)
        kind, content = _read(path, file)
    except Unreadable as unreadable:
        raise BadCheckpoint(f"{path}: {unreadable.message}", hint=unreadable.hint) from None
    except BadPickle as bad:
        raise _damaged(path, bad) from None
    return Opened(
        path=path,
        format=kind,
        root=content.root,
        size=file.size,
        imports=content.imports,
        refused=content.refused,
        notes=content.notes,
        metadata=content.metadata,
    )


def _read(path: Path, file: Mapped) -> tuple[Format, Content]:
    head = file.content[:2]
    if head == b"PK" and noncheckpoint.has_directory(path):
        records = Records(file)
        for signs, kind, read in ZIPS:
            if any(sign in records for sign in signs):
                return kind, read(records)
    elif head[:1] == b"\x80" and is_legacy(file):
        return "torch legacy", read_legacy(file)
    elif is_safetensors(file):
        return "safetensors", read_safetensors(file)
    raise noncheckpoint.refusal(path)


def _sharded(index: Path) -> Opened:
    where = sharded.read_index(index)
    shards = list(dict.fromkeys(where.values()))
    if len(shards) > MOST_SHARDS:
        raise BadCheckpoint(f"{index}: names {len(shards):,} shards", hint="give one of them")
    opened = {shard: _single(shard) for shard in shards}
    every = opened.values()
    return Opened(
        path=index,
        format="sharded",
        root={name: _tensor(index, name, opened[shard]) for name, shard in where.items()},
        size=sum(one.size for one in every),
        imports=tuple(dict.fromkeys(name for one in every for name in one.imports)),
        refused=tuple(dict.fromkeys(name for one in every for name in one.refused)),
        notes=tuple(dict.fromkeys(note for one in every for note in one.notes)),
    )


def _tensor(index: Path, name: str, shard: Opened) -> object:
    if not isinstance(shard.root, dict) or name not in shard.root:
        raise BadCheckpoint(
            f"{index}: finds no {name[:80]!r} in {shard.path.name}", hint="download index and shards again"
        )
    return shard.root[name]


def _damaged(path: Path, bad: BadPickle) -> BadCheckpoint:
    refused = [pickled.printable(name) for name in pickled.refused(bad.names)]
    named = f"; it names {listed(refused, 6)} (nothing of it was executed)" if refused else ""
    return BadCheckpoint(
        f"{path}: can't be read: {pickled.printable(str(bad), LONGEST_REASON)}{named}",
        hint="copy it again, or save it again with torch.save",
    )
