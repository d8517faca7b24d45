"""The HTTP client of a benchmark, lean because it shares the cores with what it measures.

    python -m scripts.benchmarking.client LOAD      # a Load as JSON -> a Round as JSON

A closed loop: each connection sends its next request as soon as the answer to the last is whole. It stays
open as long as the server keeps it so. What ends within the seconds after the warm-up counts, and until each
connection could have had an answer; then what is under way is waited for, so that whoever is asked next has
the cores to itself.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import numpy as np
import uvloop

from scripts.benchmarking.figures import Round
from scripts.benchmarking.target import Load, Target
from scripts.calling import credentials

PAUSE = 0.05  # s; whoever is refused doesn't come back at once
TICK = 0.25  # s between two looks for requests that hang
LONGEST = 5  # times the seconds that were asked for, of a server that hardly answers


def main() -> None:
    load = msgspec.json.decode(sys.argv[1], type=Load)
    found = uvloop.run(Clients(load).run())
    sys.stdout.buffer.write(msgspec.json.encode(found))


class Clients:
    """All connections of one load, and what they have seen."""

    def __init__(self, load: Load) -> None:
        parts = urlsplit(load.target.url)
        secure = parts.scheme == "https"
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or (443 if secure else 80)
        self.tls = credentials.context(secure)
        self.request = request(load.target)
        self.seconds: list[float] = []
        self.errors: Counter[str] = Counter()
        self.under_way = 0
        self.over = False
        self._load = load
        self._counting = False

    async def run(self) -> Round:
        clients = [Client(self) for _ in range(self._load.connections)]
        for client in clients:
            client.connect()
        await self._watch(clients, self._load.warm_up)
        self._counting, began, before = True, time.perf_counter(), time.process_time()
        await self._watch(clients, self._load.seconds)
        while len(self.seconds) < len(clients) and time.perf_counter() - began < LONGEST * self._load.seconds:
            await self._watch(clients, TICK)
        self._counting, took, worked = False, time.perf_counter() - began, time.process_time() - before
        await self._end(clients)
        return self._round(took, worked)

    def answered(self, status: int, seconds: float) -> None:
        if not self._counting:
            return
        if status == 200:
            self.seconds.append(seconds)
        else:
            self.errors[str(status)] += 1

    def failed(self, error: str) -> None:
        if self._counting or error == "timeout":
            self.errors[error] += 1

    async def _watch(self, clients: list[Client], seconds: float) -> None:
        """Let them work, and end requests that hang."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            await asyncio.sleep(min(TICK, left))
            for client in clients:
                client.end_hanging(self._load.timeout)

    async def _end(self, clients: list[Client]) -> None:
        self.over = True
        until = time.perf_counter() + self._load.timeout
        while self.under_way and time.perf_counter() < until:
            await asyncio.sleep(0.005)
        for client in clients:
            client.close()

    def _round(self, took: float, worked: float) -> Round:
        p50, p95, p99 = np.percentile(np.array(self.seconds or [0.0]) * 1e3, [50, 95, 99]).tolist()
        items = len(self.seconds) * self._load.target.items
        return Round(took, items, p50, p95, p99, dict(self.errors), worked / took)


class Client(asyncio.Protocol):
    """One connection after another, a request at a time."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._began = 0.0  # when the request under way was sent; 0 without one
        self._task: asyncio.Task[object] | None = None

    def connect(self) -> None:
        if not self._clients.over:
            self._task = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            clients = self._clients
            await self._loop.create_connection(lambda: self, clients.host, clients.port, ssl=clients.tls)
        except OSError as error:
            self._clients.failed(type(error).__name__)
            self._loop.call_later(PAUSE, self.connect)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class derives from none
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def _send(self) -> None:
        if self._clients.over or self._transport is None:
            self.close()
            return
        self._clients.under_way += 1
        self._began = time.perf_counter()
        self._transport.write(self._clients.request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._give_up(type(error).__name__)
            self.close()

    def on_message_complete(self) -> None:
        took, self._began = time.perf_counter() - self._began, 0.0
        self._clients.under_way -= 1
        status = self._parser.get_status_code()
        self._clients.answered(status, took)
        if not self._parser.should_keep_alive():
            self.close()
        elif status == 200:
            self._send()
        else:
            self._loop.call_later(PAUSE, self._send)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        refused = bool(self._began)
        self._give_up(type(exc).__name__ if exc is not None else "closed")
        self._loop.call_later(PAUSE if refused else 0, self.connect)

    def end_hanging(self, timeout: float) -> None:
        if self._began and time.perf_counter() - self._began > timeout:
            self._give_up("timeout")
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _give_up(self, error: str) -> None:
        """The request under way won't be answered, if there is one."""
        if self._began:
            self._began = 0.0
            self._clients.under_way -= 1
            self._clients.failed(error)


def request(target: Target) -> bytes:
    """One whole request, as it goes over the wire."""
    parts = urlsplit(target.url)
    body = Path(target.file).read_bytes()
    lines = [
        f"POST {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Type: {target.content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in credentials.headers().items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


if __name__ == "__main__":
    main()
