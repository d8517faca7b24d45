"""What torch.save writes since PyTorch 1.6: a zip of data.pkl and a record for each storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handlers.inert import Pickled, Source, read
from scripts.inspection.reading.content import Content, Unreadable, of_pickles
from scripts.inspection.reading.mapped import Mapped
from scripts.inspection.reading.rebuilding import rebuild
from scripts.inspection.reading.records import Records
from scripts.inspection.reading.storages import Memories, Storage, described


def read_torch_zip(records: Records) -> Content:
    """Raises Unreadable or BadPickle."""
    refuse_big_endian(records)
    pickled = unpickled(records, "data.pkl", lambda key: records.part(f"data/{key}"))
    return of_pickles(pickled.value, pickled)


def unpickled(
    records: Records,
    name: str,
    where: Callable[[str], Mapped],
    calls: Callable[[str, tuple[Any, ...] | None], Any] = rebuild,
) -> Pickled:
    """One pickle of the zip, whose storages lie where `where` says."""
    part = records.part(name)
    memories = Memories(where)

    def persistent(pid: Any) -> Storage:
        kind, key, numel = described(pid, 5)
        return Storage(kind, key, numel, memories.of(key))

    return read(Source(part.content, part.start, part.end), persistent, calls)


def refuse_big_endian(records: Records) -> None:
    """Raises Unreadable: its values would have to be turned over, each one, in memory."""
    if records.short("byteorder") == b"big":
        raise Unreadable(
            "was written on a big-endian machine",
            hint="load it with torch.load and save it again with torch.save, on a little-endian machine",
        )
