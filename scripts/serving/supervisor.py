"""The supervisor: one loop that makes observed equal wanted on this node.

    wanted.json -> node (TorchServe's registrations) -> routing (the gateway) -> observed.json

It owns Java, its workers and the gateway. A restart, a killed process and a command all take this same path.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

from handlers.errors import Refusal
from scripts.config import Config
from scripts.errors import CommandError
from scripts.gateway.envoy import DRAIN_TIME, Gateway
from scripts.gateway.routing import Routing
from scripts.places import Places
from scripts.processes.scratch import Scratch
from scripts.serving import views
from scripts.serving.node import Node, Say
from scripts.serving.torchserve import TorchServe
from scripts.state import observed, wanted
from scripts.state.observed import Observed, Phase
from scripts.state.wanted import Wanted

POLL = 0.25  # s
START_TIMEOUT = 60.0  # s; 1 to 2.4 s were seen, 10 s on two busy cores
SILENCE = 30.0  # s without an answer of a Java that lives: it is as good as dead
LONGEST_PAUSE = 30.0  # s between two starts of a process that ends at once
DRAIN_MARGIN = 5.0  # s beyond the longest deadline: by then every accepted request has its answer


class Supervisor:
    """Runs in the main thread: `run` until its event is set, then `drain` and `stop`."""

    def __init__(
        self, places: Places, server: TorchServe, gateway: Gateway | None, config: Config, say: Say
    ) -> None:
        self._places = places
        self._server = server
        self._gateway = gateway
        self._config = config
        self._say = say
        self._started = 0.0  # monotonic, when Java was started last
        self._answered = 0.0  # monotonic, when it answered last
        self._up = False  # whether TorchServe takes requests
        self._pauses = 0  # starts in a row that came to nothing
        self._phase: Phase = "starting"
        self._wanted = Wanted()
        self._scratch = Scratch("gateway-")
        self.node = Node(places, server, self._active, say)

    def start(self) -> None:
        """Java and the gateway; raises CommandError when either can't be started at all."""
        self._wanted = wanted.load(self._places)
        self.node.expect(self._wanted)
        self._server.start()
        self._started = self._answered = time.monotonic()
        if self._gateway is not None:
            self._gateway.start(self._scratch.path, self._routing())
        self._publish()

    def run(self, stop: threading.Event, each: Callable[[Observed], None]) -> None:
        """Until the event is set; `each` sees every state that is published."""
        while not stop.is_set():
            each(self.step())
            stop.wait(POLL)

    def step(self) -> Observed:
        """One turn of the loop."""
        if mended := wanted.mend(self._places):
            self._say(mended)
        self._wanted = wanted.load(self._places)
        self._keep_torchserve()
        if self._up:
            try:
                self.node.reconcile(self._wanted)
                self._answered = time.monotonic()
            except CommandError as error:
                if self._server.alive():
                    self._say(f"TorchServe: {error}")
        self._route()
        return self._publish()

    def drain(self) -> None:
        """No new requests; until what was accepted is answered, or the longest deadline is over."""
        self._phase = "stopping"
        longest = max((views.deadline(life.recipe) for life in self.node.lives.values()), default=0.0)
        end = time.monotonic() + longest + DRAIN_MARGIN
        self._route()
        self._publish()
        listening_until = time.monotonic()
        if self._gateway is not None:
            with contextlib.suppress(CommandError):
                self._gateway.drain()
                listening_until += DRAIN_TIME + POLL
        while self._up and self._server.alive() and time.monotonic() < end:
            with contextlib.suppress(CommandError):
                self.node.look()
                if time.monotonic() > listening_until and not self._in_flight():
                    return
            time.sleep(POLL)

    def stop(self) -> None:
        self.node.close()
        if self._gateway is not None:
            self._gateway.stop()
        self._server.stop()
        self._scratch.remove()

    def _in_flight(self) -> int:
        waiting = sum(life.pending for life in self.node.lives.values())
        alive = self._gateway is not None and self._gateway.alive()
        return waiting + (self._gateway.active_all() if alive and self._gateway is not None else 0)

    def _keep_torchserve(self) -> None:
        """Notice that Java has ended, or is silent, and start it again; what was registered is forgotten."""
        now = time.monotonic()
        if self._up and self._server.alive() and now - self._answered < SILENCE:
            return
        if self._up:
            self._up = False
            self._say("TorchServe has ended" if not self._server.alive() else "TorchServe doesn't answer")
            self.node.reset()
            self._route()  # callers are told before anything else
            self._restart()
        elif not self._server.alive() or now - self._started > START_TIMEOUT:
            if self._phase == "starting" and not self._pauses:
                self._server.answers()  # its own words, when it never came up at all
            if now - self._started > min(2.0**self._pauses, LONGEST_PAUSE):
                self._pauses += 1
                self._restart()
        elif self._server.answers():
            self._up, self._pauses, self._answered = True, 0, now

    def _restart(self) -> None:
        self._started = time.monotonic()
        try:
            self._server.start()
        except Refusal as error:
            self._say(f"TorchServe can't be started: {error}")

    def _route(self) -> None:
        """Keep the gateway, and tell it what is so."""
        routing = self._routing()
        if self._gateway is not None:
            try:
                if not self._gateway.alive():
                    self._say("the gateway has ended; starting it again")
                    self._gateway.start(self._scratch.path, routing)
                self._gateway.publish(routing)
                self._gateway.rotate_log()
            except Refusal as error:
                self._say(f"gateway: {error}")
                return
        self.node.unrouted()

    def _routing(self) -> Routing:
        return views.routing(self.node, self._wanted, self._phase, alive=self._up)

    def _active(self, name: str, version: str) -> int | None:
        """None without a gateway; with a gateway that has just died nothing is in flight any more."""
        if self._gateway is None:
            return None
        return self._gateway.active(name, version) if self._gateway.alive() else 0

    def serving(self) -> None:
        """Everything that was wanted at the start has come up, or failed."""
        self._phase = "serving"

    def _publish(self) -> Observed:
        gateway = self._gateway
        address = self._config.gateway if gateway is not None else self._config.inference
        grpc = address if gateway is not None else self._config.grpc_inference
        seen = Observed(
            revision=self._wanted.revision,
            pid=os.getpid(),
            phase=self._phase,
            torchserve=self._up,
            gateway=gateway is not None and gateway.alive(),
            url=address.url,
            grpc=grpc.url.removeprefix("http://"),
            models=views.seen(self.node, self._wanted),
        )
        observed.publish(self._places, seen)
        return seen
