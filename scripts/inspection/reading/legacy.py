"""What torch.save wrote before PyTorch 1.6: five pickles, then each storage's size and bytes.

magic  protocol  system  object  keys  (size bytes) (size bytes) ...
"""

from __future__ import annotations

import struct
from typing import Any

from handlers.inert import BadPickle, Pickled, Source, read
from scripts.inspection.reading.content import Content, Unreadable, of_pickles
from scripts.inspection.reading.mapped import Mapped
from scripts.inspection.reading.rebuilding import rebuild
from scripts.inspection.reading.storages import Memories, Storage, described, is_count

MAGIC = 0x1950A86A20F9469CFC6C
"""torch.serialization.MAGIC_NUMBER"""

PROTOCOL = 1001
"""torch.serialization.PROTOCOL_VERSION"""

SIZE = struct.Struct("<q")


def is_legacy(file: Mapped) -> bool:
    """Whether the first pickle is torch's magic number."""
    try:
        return bool(read(Source(file.content, file.start, file.end)).value == MAGIC)
    except BadPickle:
        return False


def read_legacy(file: Mapped) -> Content:
    """Read twice: where a storage lies is known only behind the pickle that says how long each one is.

    Raises Unreadable or BadPickle.
    """
    sizes: dict[str, int] = {}

    def count(pid: Any) -> Any:
        if _is_class(pid):
            return pid[1]
        kind, key, numel, first = _described(pid)
        storage = Storage(kind, key, numel, None, first)
        sizes.setdefault(key, storage.dtype.itemsize)
        return storage

    before = _leading(file)
    counted = _pickle(file, before[-1].end, count)
    keys = _pickle(file, counted.end, count)
    parts = _parts(file, keys, sizes)
    memories = Memories(lambda key: _found(parts, key))

    def persistent(pid: Any) -> Any:
        if _is_class(pid):
            return pid[1]
        kind, key, numel, first = _described(pid)
        return Storage(kind, key, numel, memories.of(key), first)

    saved = _pickle(file, before[-1].end, persistent)
    return of_pickles(saved.value, *before, saved, keys)


def _leading(file: Mapped) -> list[Pickled]:
    magic = read(Source(file.content, file.start, file.end))
    protocol = _pickle(file, magic.end, _described)
    if protocol.value != PROTOCOL:
        raise Unreadable("has an unknown version of the format from before 1.6", hint="copy it again")
    return [magic, protocol, _pickle(file, protocol.end, _described)]


def _pickle(file: Mapped, start: int, persistent: Any) -> Pickled:
    return read(Source(file.content, start, file.end), persistent, rebuild)


def _described(pid: Any) -> tuple[str, str, int, int]:
    """(type, key, number of values, first value): the last tells views of one storage apart."""
    kind, key, numel = described(pid, 6)
    if pid[5] is None:
        return kind, key, numel, 0
    if not isinstance(pid[5], tuple) or len(pid[5]) != 3 or not all(map(is_count, pid[5][1:])):
        raise BadPickle("a view of a storage that is malformed")
    _, first, size = pid[5]
    if first + size > numel:
        raise BadPickle("a view that reaches beyond its storage")
    return kind, key, size, first


def _is_class(pid: Any) -> bool:
    """A module's class with its file and source, as whole models have it."""
    return isinstance(pid, tuple) and len(pid) == 4 and pid[0] in ("module", b"module")


def _parts(file: Mapped, keys: Pickled, sizes: dict[str, int]) -> dict[str, Mapped]:
    """Where each storage's bytes lie, of those that the object names."""
    if not isinstance(keys.value, list):
        raise BadPickle("storage keys that are no list")
    found: dict[str, Mapped] = {}
    position = keys.end - file.start
    for key in keys.value:
        if not isinstance(key, str) or key not in sizes:
            raise BadPickle("a storage that no tensor is on")
        (numel,) = SIZE.unpack(file.part(position, SIZE.size).bytes())
        found[key] = file.part(position + SIZE.size, numel * sizes[key])
        position += SIZE.size + numel * sizes[key]
    return found


def _found(parts: dict[str, Mapped], key: str) -> Mapped:
    if key not in parts:
        raise Unreadable(f"lacks the storage {key[:50]!r}", hint="copy it again")
    return parts[key]
