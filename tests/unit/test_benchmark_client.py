"""The HTTP client against servers that keep their connections, end them, refuse, and hang."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from scripts.benchmarking import loading
from scripts.benchmarking.client import Clients, request
from scripts.benchmarking.figures import Round
from scripts.benchmarking.target import Load, Target
from scripts.errors import CommandError
from scripts.processes.children import Children

BODY = b'{"input": [1, 2]}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LAST = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"

Answer = Callable[[int], bytes | None]
"""To the request with this number: an answer, or None for none at all."""


class Server:
    """Answers whole requests by `answer`; ends the connection after HTTP/1.0, or what isn't HTTP."""

    def __init__(self, answer: Answer, size: int) -> None:
        self.answer, self.size = answer, size
        self.requests = self.connections = 0
        self.seen = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            got = b""
            while piece := connection.recv(65536):
                got += piece
                if len(got) < self.size:
                    continue
                self.seen, got = got, b""
                self.requests += 1
                answer = self.answer(self.requests)
                if answer is None:
                    continue
                connection.sendall(answer)
                if not answer.startswith(b"HTTP/1.1"):
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # else the thread in `accept` keeps it open
        self._listener.close()


@contextmanager
def serving(folder: Path, answer: Answer) -> Iterator[tuple[Server, Target]]:
    file = folder / "body.json"
    file.write_bytes(BODY)
    size = len(request(Target("http://127.0.0.1:12345/x", str(file))))
    server = Server(answer, size)
    if server.port < 10000:  # the port is part of the request
        server.size -= 5 - len(str(server.port))
    try:
        yield server, Target(f"http://127.0.0.1:{server.port}/x", str(file), items=3)
    finally:
        server.close()


def run(target: Target, **more: float) -> Round:
    given = {"connections": 2, "seconds": 0.2, "warm_up": 0.05, "timeout": 5.0} | more
    load = Load(target, **given)  # type: ignore[arg-type]

    async def clients() -> Round:
        return await Clients(load).run()

    return uvloop.run(clients())


def test_connections_are_kept_and_every_item_counts(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _: GOOD) as (server, target):
        found = run(target)
    assert server.connections == 2
    assert found.items % 3 == 0
    assert 0 < found.items <= 3 * server.requests  # the warm-up isn't counted
    assert found.errors == {}
    assert 0 < found.p50 <= found.p95 <= found.p99
    assert 0 < found.client <= 1.5


def test_the_request_is_what_the_file_holds(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _: GOOD) as (server, target):
        run(target)
    head, _, body = server.seen.partition(b"\r\n\r\n")
    assert body == BODY
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in head
    assert b"Content-Length: 17" in head


def test_a_server_that_ends_its_connections_is_asked_on_new_ones(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _: LAST) as (server, target):
        found = run(target)
    assert server.connections >= server.requests > 2
    assert found.errors == {}
    assert found.items > 0


def test_refusals_are_errors_by_their_status(tmp_path: Path) -> None:
    with serving(tmp_path, lambda number: BAD if number % 2 else GOOD) as (_, target):
        found = run(target)
    assert set(found.errors) == {"503"}
    assert found.items > 0


def test_a_connection_that_breaks_is_an_error_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, lambda number: b"nonsense\r\n\r\n" if number % 3 == 0 else GOOD) as (_, target):
        found = run(target, seconds=0.4)
    assert sum(found.errors.values()) > 0
    assert found.items > 0


def test_a_request_that_hangs_is_ended_and_counted(tmp_path: Path) -> None:
    with serving(tmp_path, lambda number: None if number == 1 else GOOD) as (_, target):
        found = run(target, timeout=0.2, seconds=0.6)
    assert found.errors.get("timeout") == 1
    assert found.items > 0


def test_nobody_who_listens_is_an_error_too(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _: GOOD) as (_, target):
        pass
    found = run(target)
    assert found.items == 0
    assert set(found.errors) == {"ConnectionRefusedError"}


def test_a_slow_server_is_given_the_time_to_answer_each_connection_once(tmp_path: Path) -> None:
    gate = threading.Event()
    threading.Timer(0.3, gate.set).start()

    def slow(number: int) -> bytes:
        gate.wait(5)
        return GOOD

    with serving(tmp_path, slow) as (_, target):
        found = run(target, seconds=0.1)
    assert found.items >= 6
    assert found.seconds > 0.15


def test_a_round_is_a_process_of_its_own(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _: GOOD) as (_, target), Children() as children:
        found = loading.round_of(Load(target, 2, 0.1, warm_up=0.05), children)
    assert found.items > 0
    assert found.errors == {}


def test_a_client_that_fails_says_why(tmp_path: Path) -> None:
    absent = Target("http://127.0.0.1:1/x", str(tmp_path / "absent.json"))
    with Children() as children, pytest.raises(CommandError, match=r"absent\.json"):
        loading.round_of(Load(absent, 1, 0.1), children)
