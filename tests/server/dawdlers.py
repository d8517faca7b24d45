"""Clients that keep a server waiting: a crowd of connections that send byte by byte, or never read."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence

from msgspec import Struct

PAUSE = 0.5  # s between two bytes
READERS_BUFFER = 4096  # bytes that the kernel takes for one who never reads


class Cut(Struct, frozen=True):
    """How one of them fared: what it was told at last, and after how long."""

    seconds: float
    answer: bytes

    @property
    def status(self) -> int:
        """0 where nothing was said."""
        words = self.answer.split(b" ", 2)
        return int(words[1]) if len(words) > 1 else 0


def send_slowly(
    address: tuple[str, int], at_once: bytes, byte: bytes, count: int, patience: float
) -> list[Cut]:
    """So many at the same time; returns when the last one was cut. Fails when one still isn't, by then."""
    return asyncio.run(_send_slowly(address, at_once, byte, count, patience))


async def _send_slowly(
    address: tuple[str, int], at_once: bytes, byte: bytes, count: int, patience: float
) -> list[Cut]:
    async def one() -> Cut:
        reader, writer = await asyncio.open_connection(*address)
        began = time.monotonic()
        told = asyncio.create_task(_told(reader))
        try:
            writer.write(at_once)
            while not told.done():
                assert time.monotonic() - began < patience, f"still not cut after {patience} s"
                writer.write(byte)
                await asyncio.wait({told}, timeout=PAUSE)
            return Cut(time.monotonic() - began, told.result())
        finally:
            told.cancel()
            writer.transport.abort()

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def _told(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, in whichever way."""
    said = b""
    try:
        while part := await reader.read(65536):
            said += part
    except OSError:
        pass
    return said


def never_read(address: tuple[str, int], request: bytes, count: int) -> Sequence[socket.socket]:
    """So many, who have asked; the caller closes them."""
    found = []
    for _ in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READERS_BUFFER)
        one.settimeout(10)
        one.connect(address)
        one.sendall(request)
        found.append(one)
    return found
