"""Clients that send one request after another, and what became of each."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct


class Sent(Struct, frozen=True):
    """One request: an answer with its status, or the error of a client that got none."""

    began: float  # monotonic
    ended: float
    status: int = 0
    body: bytes = b""
    error: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def json(self) -> Any:
        return json.loads(self.body)


class Load:
    """So many clients with a connection each, from entering to leaving; `sent` grows meanwhile."""

    def __init__(
        self, url: str, body: bytes, *, clients: int = 4, pause: float = 0, timeout: float = 60
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address, self._path = (parts.hostname, parts.port), parts.path
        self._body = body
        self._pause = pause  # s between two requests of a client
        self._timeout = timeout  # s; beyond it a request hangs
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send_on, daemon=True) for _ in range(clients)]
        self.sent: list[Sent] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout + 10)
            assert not thread.is_alive(), "a request hangs"

    def wait(self, fact: Callable[[Sequence[Sent]], bool], timeout: float = 60) -> None:
        """Until what was sent has come so far."""
        deadline = time.monotonic() + timeout
        while not fact(self.sent):
            assert time.monotonic() < deadline, self.summary()
            time.sleep(0.02)

    def reach(self, count: int) -> None:
        """Until so many more have been answered well."""
        goal = len(self.good()) + count
        self.wait(lambda _: len(self.good()) >= goal)

    def good(self) -> list[Sent]:
        return [one for one in self.sent if one.status == 200]

    def bad(self) -> list[Sent]:
        return [one for one in self.sent if one.status != 200]

    def longest_gap(self) -> float:
        """Seconds between two good answers, at most."""
        ended = sorted(one.ended for one in self.good())
        return max((b - a for a, b in pairwise(ended)), default=0.0)

    def slowest(self) -> float:
        """Seconds."""
        return max((one.seconds for one in self.sent), default=0.0)

    def summary(self) -> str:
        kinds = Counter(str(one.status) if one.status else one.error for one in self.sent)
        return (
            f"sent {len(self.sent)}, {dict(kinds)}, longest gap {self.longest_gap():.2f} s, "
            f"slowest {self.slowest():.2f} s"
        )

    def _send_on(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        while not self._stop.is_set():
            one = self._send(connection)
            self.sent.append(one)
            if one.status != 200:
                connection.close()
                time.sleep(0.05)  # whoever is refused doesn't come back at once
            time.sleep(self._pause)
        connection.close()

    def _send(self, connection: http.client.HTTPConnection) -> Sent:
        began = time.monotonic()
        try:
            connection.request("POST", self._path, self._body, {"content-type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return Sent(began, time.monotonic(), error=type(error).__name__)
        return Sent(began, time.monotonic(), answer.status, body)
