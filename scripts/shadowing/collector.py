"""Where the gateway sends its copies: a unix socket. Each is read, taken or left, and answered at once.

Nobody reads these answers. Left is what comes while as many wait as may wait, so that no traffic, however
dense, makes this process or the two versions busier than they can be.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import Full, Queue
from typing import Any

from msgspec import Struct

from handlers.wire.types import PROTOCOL
from scripts.errors import CommandError

WAITING = 8
"""Requests that wait to be looked at."""

CONNECTIONS = 64
"""Of the gateway, at once: each holds a body."""

LONGEST_PATH = 100
"""Bytes; Linux takes 107."""

LARGE = 2**16
"""Bytes; bodies below are read also where they are left, which is cheaper than another connection."""

SILENCE = 30  # s without a byte of a request that has begun, or between two on one connection

TOLD = (PROTOCOL, "content-type", "content-encoding", "inference-header-content-length", "accept")
"""Headers that count for an answer; keys, cookies and addresses of callers are nobody's here."""


class Mirrored(Struct, frozen=True):
    """One request, as the worker of the default got it."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def protocol(self) -> str:
        return self.headers.get(PROTOCOL, "")


class Collector:
    """Listens from `start` to `stop`; what is taken waits in `taken`, what isn't is counted in `left`."""

    def __init__(self, path: Path, most: int) -> None:
        """`most`: bytes of a body. Raises CommandError when the path is too long for a socket."""
        if len(str(path).encode()) > LONGEST_PATH:
            raise CommandError(f"{path} is too long for a socket", hint="set TMPDIR to a shorter folder")
        self.path = path
        self.taken: Queue[Mirrored] = Queue(WAITING)
        self.left = 0
        self._counting = threading.Lock()
        self._server = _Server(str(path), self, most)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        """Whether anybody listens still."""
        return self._thread.is_alive()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut()

    def take(self, one: Mirrored) -> bool:
        try:
            self.taken.put_nowait(one)
        except Full:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        with self._counting:
            self.left += 1


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(self, path: str, collector: Collector, most: int) -> None:
        self.collector = collector
        self.most = most
        self._connections: set[socket.socket] = set()
        super().__init__(path, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._connections) >= CONNECTIONS:
            self.collector.leave()
            self.shutdown_request(request)
            return
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The gateway gave up on a copy, which is its right."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = SILENCE

    def do_POST(self) -> None:
        collector = self.server.collector
        if collector.taken.full() and int(self.headers.get("content-length") or LARGE) >= LARGE:
            collector.leave()
            self._answer(503, close=True)
            return
        body = self._body()
        if body is None:
            collector.leave()
            self._answer(413, close=True)
            return
        headers = {key.lower(): value for key, value in self.headers.items()}
        counted = {key: value for key, value in headers.items() if key in TOLD}
        self._answer(202 if collector.take(Mirrored(counted, body)) else 503)

    do_PUT = do_POST  # noqa: N815

    def _body(self) -> bytes | None:
        """None where it is larger than the gateway lets through, or breaks off."""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            size = int(self.headers.get("content-length") or 0)
            return self._exactly(size) if size <= self.server.most else None
        parts: list[bytes] = []
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            if sum(map(len, parts)) + size > self.server.most:
                return None
            parts.append(self._exactly(size) or b"")
            self.rfile.readline(64)
        while self.rfile.readline(65536) not in (b"\r\n", b""):
            pass
        return b"".join(parts)

    def _exactly(self, size: int) -> bytes | None:
        content = self.rfile.read(size)
        return content if len(content) == size else None

    def _answer(self, status: int, *, close: bool = False) -> None:
        self.send_response_only(status)
        self.send_header("content-length", "0")
        if close:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
