"""Envoy's admin interface and its listener `probe`, over unix sockets: what it counts, what it applied."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from urllib.parse import quote

from scripts.errors import CommandError

TIMEOUT = 5.0  # s; the main thread answers between two updates

REVISION = "revision.pthserve.invalid"
"""The probe's virtual host, which nobody else has (RFC 2606)."""


class Connection(http.client.HTTPConnection):
    """HTTP over the socket at a path."""

    def __init__(self, path: Path) -> None:
        super().__init__(REVISION, timeout=TIMEOUT)  # admin takes any
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, method: str, target: str) -> bytes:
        """The body; raises CommandError for any other status than 200, or none."""
        try:
            self.request(method, target)
            with self.getresponse() as response:
                body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"the gateway doesn't answer ({error})") from None
        if response.status != 200:
            raise CommandError(f"the gateway answered {target} with {response.status}")
        return body


class Admin:
    """One question, one connection: used from several threads, and seldom."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stats(self, pattern: str) -> dict[str, str]:
        """Counters, gauges and texts whose names match wholly; raises CommandError."""
        body = self._ask("GET", f"/stats?format=json&filter={quote(f'^(?:{pattern})$', safe='')}")
        found = json.loads(body)["stats"]
        return {one["name"]: str(one["value"]) for one in found if "name" in one}

    def reopen_logs(self) -> None:
        self._ask("POST", "/reopen_logs")

    def drain(self) -> None:
        """Ask callers to close their connections, with each answer, and stop listening a little later."""
        self._ask("POST", "/drain_listeners?graceful&inboundonly&skip_exit")

    def _ask(self, method: str, target: str) -> bytes:
        connection = Connection(self._path)
        try:
            return connection.ask(method, target)
        finally:
            connection.close()
