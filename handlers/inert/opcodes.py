"""Bytes -> the opcodes of the pickle that begins there, each with its argument, within bounds."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pickletools import OpcodeInfo
from pickletools import opcodes as documented
from typing import Any, TypeAlias

Buffer: TypeAlias = bytes | mmap.mmap

OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in documented}

MOST_BYTES = 1 << 30
"""Bytes that one pickle may have. Tensors lie outside it."""

LONGEST_LINE = 1 << 24
"""Bytes of an argument that a newline ends."""


class BadPickle(ValueError):
    """A pickle that is malformed, unfinished or out of bounds; `names` are the globals seen until there."""

    def __init__(self, reason: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.names = names


class Source:
    """A buffer read as a file from `start` to `end`, whatever length an opcode claims."""

    def __init__(self, buffer: Buffer, start: int = 0, end: int | None = None) -> None:
        self.position = start
        self._buffer = buffer
        self._end = min(len(buffer) if end is None else end, start + MOST_BYTES)

    def read(self, size: int) -> bytes:
        """At most `size` bytes: fewer at the end, as files give them."""
        start, self.position = self.position, min(self.position + size, self._end)
        return self._buffer[start : self.position]

    def readline(self) -> bytes:
        """Up to the newline and with it; without one where none comes in time."""
        limit = min(self.position + LONGEST_LINE, self._end)
        found = self._buffer.find(b"\n", self.position, limit)
        return self.read((found + 1 if found >= 0 else limit) - self.position)


def opcodes(source: Source) -> Iterator[tuple[str, Any]]:
    """(name, argument) up to STOP, as pickletools.genops gives them; raises BadPickle.

    The argument of GLOBAL and INST is (module, name), decoded as unpicklers do: genops joins both with a
    space, which a name may contain, and stops at names that aren't ASCII.
    """
    name = ""
    while name != "STOP":
        code = source.read(1)
        opcode = OPCODES.get(code)
        if opcode is None:
            raise BadPickle(f"{code!r} is no pickle opcode" if code else "the pickle has no end")
        name = opcode.name
        yield (
            name,
            (_line(source), _line(source)) if name in ("GLOBAL", "INST") else _argument(opcode, source),
        )


def _argument(opcode: OpcodeInfo, source: Source) -> Any:
    if opcode.arg is None:
        return None
    try:
        return opcode.arg.reader(source)  # type: ignore[arg-type]
    except (ValueError, OverflowError) as error:
        raise BadPickle(f"{opcode.name}: {str(error)[:80]!r}") from None


def _line(source: Source) -> str:
    line = source.readline()
    if not line.endswith(b"\n"):
        raise BadPickle("a global's name has no end")
    return line[:-1].decode("utf-8", "backslashreplace")
