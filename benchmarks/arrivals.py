"""Requests that arrive when they are due, whatever became of those before: an open loop, over HTTP/1.1.

Latency counts from when a request was due, so that a server that stalls, or a client that falls behind, hides
nothing (what is called coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from msgspec import Struct

TIMEOUT = 30.0  # s; whoever isn't answered by then never is


class Arrival(Struct, frozen=True):
    """One request, and what became of it; times are of time.perf_counter."""

    due: float
    ended: float
    status: int = 0
    """0 where there was no answer."""
    retry_after: str = ""
    body: bytes = b""

    @property
    def seconds(self) -> float:
        return self.ended - self.due

    @property
    def good(self) -> bool:
        return self.status == 200

    @property
    def refused(self) -> bool:
        return self.status in (429, 503)


CONNECTIONS = 256
"""At most: where so many aren't enough, a request waits here, and its time counts."""


class Wire(asyncio.Protocol):
    """One connection, and the answer that is due on it."""

    def __init__(self) -> None:
        self.kept = True
        """Whether another request may follow."""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body; raises OSError."""
        if self._transport is None or not self.kept:
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, ended, body = self._came.partition(b"\r\n\r\n")
        if not ended or self._answer is None or self._answer.done():
            return
        status, headers = _head(head)
        if len(body) >= int(headers.get("content-length", "0")):
            self._came, self.kept = b"", headers.get("connection") != "close"
            self._answer.set_result((status, headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.kept = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Caller:
    """Asks one model, over as many connections as are needed; those that are free are used again."""

    def __init__(self, url: str, name: str, body: bytes) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        head = (
            f"POST /predictions/{name} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._free: list[Wire] = []

    async def arrive(self, rate: float, seconds: float) -> list[Arrival]:
        """So many a second, evenly; returns when the last one is answered."""
        begin, places = time.perf_counter(), asyncio.Semaphore(CONNECTIONS)
        sent = dict[asyncio.Task[Arrival], float]()
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            sent[asyncio.create_task(self.ask(due, places))] = due
        _, hanging = await asyncio.wait(sent, timeout=TIMEOUT)
        for one in hanging:
            one.cancel()
        await asyncio.wait(sent)
        ended = time.perf_counter()
        return [Arrival(due, ended) if one.cancelled() else one.result() for one, due in sent.items()]

    async def crowd(self, clients: int, seconds: float) -> list[Arrival]:
        """So many at a time, each with its next request when it has its answer: a closed loop."""
        until, places = time.perf_counter() + seconds, asyncio.Semaphore(clients)

        async def client() -> list[Arrival]:
            found = list[Arrival]()
            while (now := time.perf_counter()) < until:
                found.append(await self.ask(now, places))
            return found

        everyone = asyncio.gather(*(client() for _ in range(clients)))
        return [one for each in await asyncio.wait_for(everyone, seconds + TIMEOUT) for one in each]

    async def ask(self, due: float, places: asyncio.Semaphore) -> Arrival:
        async with places:
            try:
                wire = self._free.pop() if self._free else await self._connected()
                status, headers, body = await self._on(wire)
            except OSError:
                return Arrival(due, time.perf_counter())
            return Arrival(due, time.perf_counter(), status, headers.get("retry-after", ""), body)

    async def _on(self, wire: Wire) -> tuple[int, dict[str, str], bytes]:
        answered = False
        try:
            found = await wire.ask(self._request)
            answered = True
            return found
        finally:
            if answered and wire.kept:
                self._free.append(wire)
            else:
                wire.close()

    async def _connected(self) -> Wire:
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(Wire, self._host, self._port)
        return wire

    def close(self) -> None:
        for wire in self._free:
            wire.close()
        self._free.clear()


def _head(text: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = text.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), {key.lower(): value.strip() for key, _, value in pairs}
