"""A real gateway before a fake TorchServe, and what its tests ask of both."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import requests

from scripts import config
from scripts.gateway.envoy import Gateway
from scripts.gateway.routing import ModelRoutes, Route, Routing
from tests.server.fake_torchserve import METHOD, FakeTorchServe
from tests.server.running import private_places

LIMIT = 20_000_000


class Gatewayed:
    """The gateway, its fake TorchServe, and clients of both protocols."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        path = private_places(folder).config
        text = re.sub(r"(?<=gateway_max_request_size=)\d+", str(limit), path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
        self.config = config.load(path)
        self.scratch = Path(tempfile.mkdtemp(prefix="pthserve-test-"))  # short, for its sockets
        self.fake = FakeTorchServe(self.config.inference.port, self.config.grpc_inference.port)
        self.gateway = Gateway(self.config, folder / "logs")
        self.url = self.config.gateway.url
        self.session = requests.Session()
        self.session.trust_env = False

    def start(self) -> None:
        self.fake.start()
        self.gateway.start(self.scratch, routing())

    def stop(self) -> None:
        self.session.close()
        self.gateway.stop()
        self.fake.stop()
        shutil.rmtree(self.scratch)

    def post(self, path: str, body: bytes = b"x", **more: Any) -> requests.Response:
        more.setdefault("timeout", 30)
        return self.session.post(self.url + path, data=body, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=30, **more)

    def raw(self, text: bytes) -> bytes:
        """The answer to what no HTTP client would send, byte for byte."""
        with self.connection() as connection:
            connection.sendall(text)
            return read_answer(connection)

    def connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.config.gateway.port), timeout=10)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.config.gateway.port}", options=options) as channel:
            yield channel

    def call(self, message: bytes, method: str = METHOD, **more: Any) -> tuple[Any, Any]:
        """(answer, call) of one gRPC request: an answer of None means that the call holds the error."""
        with self.channel() as channel:
            try:
                return channel.unary_unary(method).with_call(message, timeout=30, **more)
            except grpc.RpcError as error:
                return None, error

    def log(self, request_id: str) -> dict[str, Any]:
        """The line of this request, once it is there."""

        def line() -> dict[str, Any] | None:
            for text in self.gateway.log.read_text(encoding="utf-8").splitlines():
                if f'"{request_id}"' in text:
                    found: dict[str, Any] = json.loads(text)
                    return found
            return None

        return eventually(line)


@contextmanager
def started(gatewayed: Gatewayed) -> Iterator[Gatewayed]:
    """The same, running until the block ends."""
    try:
        gatewayed.start()
        yield gatewayed
    finally:
        gatewayed.stop()


def read_answer(connection: socket.socket) -> bytes:
    """One answer, with its body."""
    answer = b""
    while part := connection.recv(65536):
        answer += part
        head, ended, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        if ended and length and len(body) >= int(length[1]):
            break
    return answer


def eventually(fact: Callable[[], Any], timeout: float = 10) -> Any:
    """The first answer that counts; fails when none comes."""
    deadline = time.monotonic() + timeout
    while not (found := fact()):
        assert time.monotonic() < deadline, f"waited {timeout} s in vain"
        time.sleep(0.02)
    return found


def routing(
    default: str = "1.0",
    versions: tuple[str, ...] = ("1.0", "2.0"),
    deadline: float = 5.0,
    *,
    unready: dict[str, str] | None = None,
    leaving: tuple[str, ...] = (),
    healthy: bool = True,
    ready: bool = True,
    stopping: bool = False,
) -> Routing:
    """Models `cat`, as asked for, and `dog`, which always answers."""
    reasons = unready or {}
    cat = {
        version: Route(deadline, reasons.get(version, ""), leaving=version in leaving)
        for version in versions + leaving
    }
    models = {"cat": ModelRoutes(cat, default), "dog": ModelRoutes({"1.0": Route(deadline)}, "1.0")}
    return Routing(models, healthy=healthy, ready=ready, stopping=stopping)


def error(response: requests.Response) -> dict[str, Any]:
    """The error of an answer that is in our form."""
    assert response.headers["content-type"] == "application/json", response.text
    body = response.json()
    assert set(body) == {"error", "request_id"}, body
    assert body["request_id"] == response.headers["x-request-id"]
    assert {"code", "message", "hint"} <= set(body["error"])
    for inside in ("upstream", "connect error", "envoy", "cluster", "Worker", "Exception"):
        assert inside not in response.text, response.text
    found: dict[str, Any] = body["error"]
    return found
