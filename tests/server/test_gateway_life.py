"""The gateway as a process: started, told new routes under load, killed, full, slow callers, stopped."""

from __future__ import annotations

import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import requests

from scripts.errors import CommandError
from scripts.gateway import replies, xds
from scripts.gateway.admin import Admin
from scripts.gateway.envoy import Gateway
from tests.server.fake_torchserve import METHOD, Answer, Reset, Seen, handler_says, message
from tests.server.gatewayed import Gatewayed, error, eventually, read_answer, routing

pytestmark = pytest.mark.server


@pytest.fixture
def gatewayed(tmp_path: Path) -> Iterator[Gatewayed]:
    found = Gatewayed(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


class Load:
    """Requests one after another on several connections, until it is told to end."""

    def __init__(self, gatewayed: Gatewayed, connections: int = 6) -> None:
        self._url = gatewayed.url + "/predictions/cat"
        self._target = gatewayed.url.removeprefix("http://")
        self._done = threading.Event()
        self.answers: list[tuple[float, str]] = []
        """When each was sent, and which version answered it."""
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._rest) for _ in range(connections)]
        self._threads += [threading.Thread(target=self._grpc) for _ in range(2)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _rest(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self._done.is_set():
                sent = time.monotonic()
                response = session.post(self._url, data=b"x", timeout=20)
                if response.status_code == 200:
                    self.answers.append((sent, response.json()["version"]))
                else:
                    self.errors.append(response.text)

    def _grpc(self) -> None:
        with grpc.insecure_channel(self._target) as channel:
            predict = channel.unary_unary(METHOD)
            while not self._done.is_set():
                sent = time.monotonic()
                try:
                    self.answers.append((sent, predict(message("cat"), timeout=20)[6:].decode()))
                except grpc.RpcError as failed:
                    self.errors.append(str(failed))


def test_routes_move_under_load_and_nothing_is_lost(gatewayed: Gatewayed) -> None:
    moves: list[tuple[float, str]] = []
    took = []
    with Load(gatewayed) as load:
        for turn in range(30):
            new, old = f"{turn + 2}.0", f"{turn + 1}.0"
            begun = time.monotonic()
            gatewayed.gateway.publish(routing(old, (old, new)))
            gatewayed.gateway.publish(routing(new, (new,), leaving=(old,)))
            moves.append((time.monotonic(), new))
            took.append((moves[-1][0] - begun) / 2)
            eventually(lambda old=old: gatewayed.gateway.active("cat", old) == 0)
            gatewayed.gateway.publish(routing(new, (new,)))
            time.sleep(0.1)
    assert load.errors == []
    for sent, version in load.answers:
        promoted = [new for moved, new in moves if moved < sent]
        assert not promoted or float(version) >= float(promoted[-1]), "the old version answered"
    assert len({version for _, version in load.answers}) > 20
    print(
        f"\n{len(load.answers)} requests over {len(moves)} moves, 0 lost;"
        f" publish took {1000 * statistics.median(took):.0f} ms, at most {1000 * max(took):.0f} ms"
    )


def test_what_the_gateway_adds(gatewayed: Gatewayed) -> None:
    direct = f"{gatewayed.config.inference.url}/predictions/cat/1.0"
    through = gatewayed.url + "/predictions/cat"
    times: dict[str, list[float]] = {direct: [], through: []}
    for _ in range(400):
        for url, found in times.items():
            begun = time.perf_counter()
            assert gatewayed.session.post(url, data=b"x" * 1000, timeout=10).status_code == 200
            found.append(1000 * (time.perf_counter() - begun))
    for name, found in (("direct", times[direct]), ("through", times[through])):
        hundredths = statistics.quantiles(found, n=100)
        print(f"\n{name}: p50 {hundredths[49]:.2f} ms, p99 {hundredths[98]:.2f} ms", end="")


def test_killed_it_is_seen_and_starts_again(gatewayed: Gatewayed) -> None:
    gateway = gatewayed.gateway
    (envoy,) = [child for child in psutil.Process().children() if child.name() == "envoy"]
    os.kill(envoy.pid, signal.SIGKILL)
    eventually(lambda: not gateway.alive())
    assert (gateway.active("cat", "1.0"), gateway.active_all()) == (0, 0)
    with pytest.raises(CommandError, match="isn't running"):
        gateway.publish(routing("2.0"))
    gateway.start(gatewayed.scratch, routing("2.0"))
    assert gatewayed.post("/predictions/cat").json()["version"] == "2.0"


def test_a_taken_port_is_named(gatewayed: Gatewayed, tmp_path: Path) -> None:
    second = Gateway(gatewayed.config, tmp_path / "second")
    with pytest.raises(CommandError, match=f"can't listen on 127.0.0.1:{gatewayed.config.gateway.port}"):
        second.start(tmp_path / "scratch", routing())
    assert not second.alive()


def test_what_envoy_rejects_is_told_at_once_and_the_old_routes_stay(
    gatewayed: Gatewayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("scripts.gateway.answering.IDLE", -100.0)
        begun = time.monotonic()
        with pytest.raises(CommandError, match=r"didn't take its routes:(.|\n)*rejected"):
            gatewayed.gateway.publish(routing("2.0"))
        assert time.monotonic() - begun < 3
    assert gatewayed.post("/predictions/cat").json()["version"] == "1.0"
    gatewayed.gateway.publish(routing("2.0"))
    assert gatewayed.post("/predictions/cat").json()["version"] == "2.0"


def test_what_cant_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.gateway.bootstrap.document", lambda *_: {"no_such_key": 1})
    gatewayed = Gatewayed(tmp_path)
    try:
        with pytest.raises(CommandError, match=r"didn't start:(.|\n)*no_such_key"):
            gatewayed.start()
        assert not gatewayed.gateway.alive()
    finally:
        gatewayed.stop()


def test_stop_is_for_good_and_from_any_thread(gatewayed: Gatewayed) -> None:
    gateway = gatewayed.gateway
    threads = [threading.Thread(target=gateway.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not gateway.alive()
    with pytest.raises(CommandError, match="stopped"):
        gateway.start(gatewayed.scratch, routing())
    assert not [child for child in psutil.Process().children() if child.name() == "envoy"]


def test_a_full_version_refuses_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xds, "MOST", 2)
    gatewayed = Gatewayed(tmp_path)
    release = threading.Event()

    def says(seen: Seen) -> Answer | Reset:
        release.wait(10)
        return handler_says(seen)

    answers: list[requests.Response] = []
    gatewayed.fake.says = says
    try:
        gatewayed.start()
        url = gatewayed.url + "/predictions/cat"
        threads = [
            threading.Thread(target=lambda: answers.append(requests.post(url, data=b"x", timeout=20)))
            for _ in range(16)
        ]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        eventually(lambda: answers)
        assert time.monotonic() - begun < 2
        eventually(lambda: len(answers) + gatewayed.gateway.active("cat", "1.0") == len(threads))
        refused = list(answers)
        release.set()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers[len(refused) :]} == {200}
        for answer in refused:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert error(answer)["code"] == "overloaded"
    finally:
        release.set()
        gatewayed.stop()


def test_slow_callers_are_told_when_they_took_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "ARRIVES_IN", 1)
    gatewayed = Gatewayed(tmp_path)
    try:
        gatewayed.start()
        for begun in (
            b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab",
            b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            b"POST /predictions/cat HTTP/1.1\r\nho",
        ):
            with gatewayed.connection() as slow:
                slow.sendall(begun)
                answer = read_answer(slow)
            assert answer.startswith(b"HTTP/1.1 408"), answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
        eventually(lambda: gatewayed.gateway.active("cat", "1.0") == 0 == gatewayed.gateway.active_all())
    finally:
        gatewayed.stop()


def test_every_thread_is_asked_for_its_routes(gatewayed: Gatewayed) -> None:
    """What `publish` rests on: its connections are spread over all of Envoy's threads."""
    admin = Admin(gatewayed.scratch / "admin.sock")
    found = admin.stats(r"listener\.probe\.worker_\d+\.downstream_cx_active")
    threads = admin.stats(r"server\.concurrency")["server.concurrency"]
    assert (len(found), set(found.values())) == (int(threads), {"1"})


def test_a_retry_counts_as_active_while_it_waits(gatewayed: Gatewayed) -> None:
    gateway, lowest = gatewayed.gateway, []

    def says(seen: Seen) -> Answer | Reset:
        time.sleep(0.02)
        return Answer(507, b"")

    gatewayed.fake.says = says
    thread = threading.Thread(target=gatewayed.post, args=("/predictions/cat",))
    thread.start()
    eventually(lambda: gateway.active("cat", "1.0") == 1)
    while thread.is_alive() and len(gatewayed.fake.seen) < 2:
        lowest.append(gateway.active("cat", "1.0"))
    thread.join()
    assert set(lowest) <= {1}, lowest
