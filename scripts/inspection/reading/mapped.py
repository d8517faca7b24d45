"""A file in memory: private, copied nowhere, and read only where it is looked at."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

import torch

from scripts.inspection.reading.content import Unreadable

NO_RESERVE = 0x4000
"""MAP_NORESERVE (mmap has it from Python 3.13): else Linux refuses to map a file larger than its memory."""


class Mapped:
    """A file, or with `start` and `end` a part of it, that tensors are views of."""

    def __init__(self, content: mmap.mmap, start: int = 0, end: int | None = None) -> None:
        self.content = content
        self.start = start
        self.end = len(content) if end is None else end

    def part(self, start: int, size: int) -> Mapped:
        """`size` bytes from `start`; raises Unreadable where there are fewer."""
        if start < 0 or size < 0 or start + size > self.end - self.start:
            raise Unreadable(f"lacks {size:,} bytes at byte {start:,}: it is cut short", hint="copy it again")
        return Mapped(self.content, self.start + start, self.start + start + size)

    @property
    def size(self) -> int:
        return self.end - self.start

    def bytes(self) -> bytes:
        """A copy."""
        return self.content[self.start : self.end]

    def storage(self) -> torch.UntypedStorage:
        """The same memory as torch sees it. It lives as long as a tensor on it."""
        if not self.size:
            return torch.empty(0, dtype=torch.uint8).untyped_storage()
        flat = torch.frombuffer(self.content, dtype=torch.uint8, offset=self.start, count=self.size)
        return flat.untyped_storage()


def mapped(path: Path) -> Mapped:
    """The whole file, which isn't empty; raises OSError."""
    with path.open("rb") as file:
        flags, access = mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        return Mapped(mmap.mmap(file.fileno(), 0, flags=flags, prot=access))


class Stream(io.RawIOBase):
    """A part of a mapped file as zipfile wants it: a file that can be sought and read."""

    def __init__(self, part: Mapped) -> None:
        super().__init__()
        self._part = part
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        start = min(self._part.start + self._position, self._part.end)
        end = self._part.end if size is None or size < 0 else min(start + size, self._part.end)
        self._position += end - start
        return self._part.content[start:end]
