"""The gateway as the supervisor keeps it: alive, told what is so, and asked what is in flight."""

from __future__ import annotations

import contextlib
import time

import msgspec

from handlers.errors import listed
from scripts.config import Config
from scripts.errors import CommandError
from scripts.gateway.envoy import DRAIN_TIME, Gateway
from scripts.gateway.keys import KeyFile
from scripts.gateway.routing import Routing
from scripts.gateway.tls import Certificates
from scripts.processes.scratch import Scratch
from scripts.serving.node import Say
from scripts.serving.troubles import Troubles

SILENCE = 30.0  # s without an answer of a gateway that lives: nothing it is told reaches it
WHOSE = "the gateway"


class Gatekeeper:
    """Of one gateway, or of none (`up --no-gateway`): then there is nobody to tell, and nobody counts."""

    def __init__(self, gateway: Gateway | None, config: Config, troubles: Troubles, say: Say) -> None:
        self._gateway = gateway
        self._keys = KeyFile(config.gateway_keys, say) if config.gateway_keys is not None else None
        self._certificates = Certificates(config)
        self._troubles = troubles
        self._say = say
        self._scratch = Scratch("gateway-")
        self._silent = False  # in this turn
        self._silent_since: float | None = None  # monotonic

    def start(self, routing: Routing) -> None:
        """Raises CommandError when it can't be started at all."""
        if self._gateway is None:
            return
        if self._keys is not None:
            self._keys.refresh()
        self._certificates.refresh(self._scratch.path)
        self._begin(self._gateway, routing)

    def alive(self) -> bool:
        return self._gateway is not None and self._gateway.alive()

    def keep(self, routing: Routing) -> bool:
        """Once a turn; whether every new request is treated by the routing now."""
        self._silent = False
        if self._gateway is None:
            return True
        self._renew()
        told = False
        with self._troubles.survived(WHOSE):
            if ended := self._ended():
                if not self._troubles.lasting(WHOSE):
                    self._say(f"the gateway {ended}; starting it again")
                self._begin(self._gateway, routing)
            self._gateway.publish(self._keyed(routing))
            told = True
            self._gateway.rotate_log()
        return told

    def _begin(self, gateway: Gateway, routing: Routing) -> None:
        self._silent_since = None
        gateway.start(self._scratch.path, self._keyed(routing))

    def _renew(self) -> None:
        """Keys and certificate, where their files have changed; while one is wrong, the last good stays."""
        with self._troubles.survived("the keys stay as they were"):
            if self._keys is not None and self._keys.refresh():
                self._say(f"new keys, of {listed((one.name for one in self._keys.callers), 5) or 'nobody'}")
        with self._troubles.survived("the certificate stays as it was"):
            if self._certificates.refresh(self._scratch.path):
                self._say("new certificate")

    def _keyed(self, routing: Routing) -> Routing:
        callers = self._keys.callers if self._keys is not None else None
        return msgspec.structs.replace(routing, callers=callers)

    def _ended(self) -> str:
        if not self.alive():
            return "has ended"
        since = self._silent_since
        return "doesn't answer" if since is not None and time.monotonic() - since > SILENCE else ""

    def active(self, name: str, version: str) -> int | None:
        """Requests in flight on a version; None without a gateway.

        One that doesn't answer may have anything in flight, and isn't asked again in this turn: each question
        waits for seconds.
        """
        if self._gateway is None:
            return None
        if self._silent:
            return 1
        try:
            found = self._gateway.active(name, version)
        except CommandError:
            self._silent = True
            self._silent_since = self._silent_since or time.monotonic()
            return 1
        self._silent_since = None
        return found

    def active_all(self) -> int:
        """Requests in flight; raises CommandError when it doesn't answer."""
        return self._gateway.active_all() if self._gateway is not None else 0

    def drain(self) -> float:
        """Stop listening; how many seconds it still does."""
        with contextlib.suppress(CommandError):
            if self._gateway is not None:
                self._gateway.drain()
                return float(DRAIN_TIME)
        return 0.0

    def stop(self) -> None:
        if self._gateway is not None:
            self._gateway.stop()
        self._scratch.remove()
