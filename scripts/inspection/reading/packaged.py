"""torch.package: a zip of Python sources and pickles, whose storages lie under .data/."""

from __future__ import annotations

from typing import Any

from handlers.inert import Foreign, Source, read
from scripts.inspection.reading.content import Content, Unreadable, of_pickles
from scripts.inspection.reading.rebuilding import rebuild
from scripts.inspection.reading.records import Records
from scripts.inspection.reading.storages import Memories, Storage, described
from scripts.inspection.reading.torch_zip import refuse_big_endian


def read_package(records: Records) -> Content:
    """The root is a dict of its pickles by resource, "model/model.pkl". Raises Unreadable or BadPickle."""
    refuse_big_endian(records)
    memories = Memories(lambda key: records.part(f".data/{key}.storage"))

    def persistent(pid: Any) -> Any:
        if isinstance(pid, tuple) and pid[:1] == ("reduce_package",):
            return Foreign("torch.package reduce_package", pid[1:])
        kind, key, numel = described(pid, 5)
        return Storage(kind, key, numel, memories.of(key))

    pickles = {}
    for name in records.names:
        if name.endswith(".pkl") and not name.startswith(".data/"):
            part = records.part(name)
            pickles[name] = read(Source(part.content, part.start, part.end), persistent, rebuild)
    if not pickles:
        raise Unreadable(
            "is a torch.package without a pickle: it holds code alone", hint="give the weights' file"
        )
    return of_pickles({name: one.value for name, one in pickles.items()}, *pickles.values())
