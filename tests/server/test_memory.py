"""Many bodies that never end: the gateway's memory stays bounded, and small requests get through."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest
import requests

from scripts.gateway import bootstrap
from tests.server.gatewayed import Gatewayed, started

pytestmark = pytest.mark.server

HEAP = 192 * 2**20
LARGEST = HEAP + 320 * 2**20
"""Of the process: its code, and what comes in the quarter of a second between two looks at the heap."""

SENT, UPLOADS, HELD = 15_000_000, 60, 4.0  # bytes of each, at once, seconds


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gatewayed]:
    monkeypatch.setattr(bootstrap, "HEAP", HEAP)
    with started(Gatewayed(tmp_path_factory.mktemp("memory"))) as gatewayed:
        yield gatewayed


def by_http1(gatewayed: Gatewayed) -> None:
    head = b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: 19000000\r\n\r\n"
    with gatewayed.connection() as connection, contextlib.suppress(OSError):  # given up, or held
        connection.sendall(head)
        for _ in range(15):
            connection.sendall(b"x" * (SENT // 15))
        connection.settimeout(HELD)
        connection.recv(1)


def by_http2(gatewayed: Gatewayed) -> None:
    command = ["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", "-T", "-"]
    curl = subprocess.Popen(
        [*command, gatewayed.url + "/predictions/cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert curl.stdin is not None
    try:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            curl.stdin.write(b"x" * SENT)
            curl.stdin.flush()
            curl.wait(HELD)
    finally:
        curl.kill()
        curl.wait()
        with contextlib.suppress(OSError):
            curl.stdin.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("upload", [by_http1, by_http2])
def test_bodies_that_never_end_dont_take_all_memory(
    small: Gatewayed, upload: Callable[[Gatewayed], None]
) -> None:
    envoy = small.gateway._envoy
    assert envoy is not None
    family = [psutil.Process(envoy.pid), *psutil.Process(envoy.pid).children(recursive=True)]
    process = next(one for one in family if one.name() == "envoy")
    uploads = [threading.Thread(target=upload, args=(small,)) for _ in range(UPLOADS)]
    for one in uploads:
        one.start()
    peak, answers, slowest = 0, Counter[object](), 0.0
    while any(one.is_alive() for one in uploads):
        peak = max(peak, process.memory_info().rss)
        began = time.monotonic()
        try:
            response = small.post("/predictions/dog")
            answers[response.status_code] += 1
            if response.status_code == 503:
                assert response.json()["error"]["code"] == "overloaded"
                assert response.headers["retry-after"] == "1"
        except requests.ConnectionError:
            answers["closed"] += 1
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.05)
    assert peak < LARGEST, f"{peak >> 20} MB, {answers}"
    assert UPLOADS * SENT > 1.4 * LARGEST  # which would have been held otherwise
    assert set(answers) <= {200, 503}, answers
    assert answers[200] > answers[503], answers
    assert slowest < 2
    assert small.post("/predictions/dog").status_code == 200
