"""What stands behind the gateway in its tests: TorchServe's two ports, answering as a test says.

A message of the gRPC service is built and read here by hand, so that its fields can be wrong or out of order.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from msgspec import Struct

METHOD = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


class Seen(Struct, frozen=True):
    """One request as it arrived here."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def version(self) -> str:
        return self.path.partition("?")[0].split("/")[3]


class Answer(Struct, frozen=True):
    status: int
    body: bytes
    headers: dict[str, str] = {}


class Reset(Struct, frozen=True):
    """The connection is closed instead."""


class Failed(Struct, frozen=True):
    """A gRPC status other than OK."""

    code: grpc.StatusCode
    details: str


Says = Callable[[Seen], "Answer | Reset"]
SaysByGrpc = Callable[[list[tuple[int, bytes]]], "bytes | Failed"]


def handler_says(seen: Seen) -> Answer | Reset:
    """As serve.py answers: JSON, and its version in a header."""
    told = {"version": seen.version, "bytes": len(seen.body), "id": seen.headers.get("x-request-id")}
    return Answer(200, json.dumps(told).encode(), {"x-model-version": seen.version})


def torchserve_says(status: int, kind: str, message: str) -> Answer:
    """As TorchServe itself refuses."""
    body = json.dumps({"code": status, "type": kind, "message": message}, indent=2).encode() + b"\n"
    return Answer(status, body, {"content-type": "application/json"})


WORKER_DIED = torchserve_says(500, "InternalServerException", "Worker died.")


def version_by_grpc(message: list[tuple[int, bytes]]) -> bytes | Failed:
    """NAME/VERSION as the message has them."""
    named = dict(message)  # the last of each, as protobuf has it
    return field(1, named[1] + b"/" + named.get(2, b""))


class FakeTorchServe:
    """Both ports; `says` and `says_by_grpc` can be changed at any time, `seen` is what came."""

    def __init__(self, rest_port: int, grpc_port: int) -> None:
        self.rest_port, self.grpc_port = rest_port, grpc_port
        self.says: Says = handler_says
        self.says_by_grpc: SaysByGrpc = version_by_grpc
        self.seen: list[Seen] = []
        self.messages: list[list[tuple[int, bytes]]] = []
        self.raw = False  # whether messages aren't taken apart: they may hold more than texts
        self.raw_messages: list[bytes] = []
        self.metadata: list[dict[str, Any]] = []
        self._grpc: Any = None
        self._rest: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()

    def forget(self) -> None:
        self.says, self.says_by_grpc = handler_says, version_by_grpc
        self.seen.clear()
        self.messages.clear()
        self.raw_messages.clear()
        self.metadata.clear()
        self.raw = False

    def start(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                seen = Seen(self.path, headers, body)
                fake.seen.append(seen)
                answer = fake.says(seen)
                if isinstance(answer, Reset):
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_PUT = do_POST  # noqa: N815

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return  # the gateway gave up on it

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def process_request(self, request: Any, client_address: Any) -> None:
                fake._connections.add(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                fake._connections.discard(request)
                super().shutdown_request(request)

        self._rest = Server(("127.0.0.1", self.rest_port), Handler)
        threading.Thread(target=self._rest.serve_forever, args=(0.05,), daemon=True).start()
        self._grpc = grpc.server(
            ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", 64 * 2**20)]
        )
        self._grpc.add_generic_rpc_handlers((_Service(self),))
        self._grpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        self._grpc.start()

    def stop(self) -> None:
        if self._rest is not None:
            self._rest.shutdown()
            self._rest.server_close()
            self._rest = None
            for connection in list(self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        if self._grpc is not None:
            self._grpc.stop(None).wait()
            self._grpc = None

    def predicted(self, message: bytes, context: Any) -> bytes:
        self.raw_messages.append(message)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.raw:
            return b"raw"
        found = list(fields(message))
        self.messages.append(found)
        answer = self.says_by_grpc(found)
        if isinstance(answer, Failed):
            context.abort(answer.code, answer.details)
        assert isinstance(answer, bytes)
        return answer


class _Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, fake: FakeTorchServe) -> None:
        self._fake = fake

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._fake.predicted) if details.method == METHOD else None


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number % 128 + 128])
        number //= 128
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number * 8 + 2) + varint(len(content)) + content


def message(name: str, version: str = "", body: bytes = b"x") -> bytes:
    """A PredictionsRequest as generated stubs write it."""
    entry = field(1, b"data") + field(2, body)
    return field(1, name.encode()) + (field(2, version.encode()) if version else b"") + field(3, entry)


def fields(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each, none of which is anything but a text here."""
    at = 0
    while at < len(text):
        key, at = _number(text, at)
        assert key % 8 == 2, f"field {key // 8} is no text"
        size, at = _number(text, at)
        assert at + size <= len(text)
        yield key // 8, text[at : at + size]
        at += size


def _number(text: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value += (text[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if text[at - 1] < 128:
            return value, at
