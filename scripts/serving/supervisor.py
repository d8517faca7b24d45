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

import msgspec

from scripts.config import Config
from scripts.errors import CommandError
from scripts.gateway import page
from scripts.gateway.envoy import Gateway
from scripts.gateway.routing import Routing
from scripts.places import Places
from scripts.serving import views
from scripts.serving.gatekeeper import Gatekeeper
from scripts.serving.node import Node, Say
from scripts.serving.pauses import Pauses
from scripts.serving.torchserve import TorchServe
from scripts.serving.troubles import Troubles
from scripts.state import mirrors, observed, wanted
from scripts.state.observed import Observed, Phase
from scripts.state.wanted import Wanted

POLL = 0.25  # s
START_TIMEOUT = 60.0  # s; 1 to 2.4 s were seen, 10 s on two busy cores
SILENCE = 30.0  # s without an answer of a Java that lives: it is as good as dead
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # s between two starts of a Java that ends at once
HEARTBEAT = 10.0  # s after which the observed state is written although nothing has changed
DRAIN_MARGIN = 5.0  # s beyond the longest deadline: by then every accepted request has its answer


class Supervisor:
    """Runs in the main thread: `run` until its event is set, then `drain` and `stop`."""

    def __init__(
        self, places: Places, server: TorchServe, gateway: Gateway | None, config: Config, say: Say
    ) -> None:
        self._places = places
        self._server = server
        self._with_gateway = gateway is not None
        self._page = page.page() if gateway is not None else None
        self._config = config
        self._say = say
        self._started = 0.0  # monotonic, when Java was started last
        self._answered = 0.0  # monotonic, when it answered last
        self._up = False  # whether TorchServe takes requests
        self._was_up = False  # whether it ever did
        self._troubles = Troubles(say)
        self._starts = Pauses(FIRST_PAUSE, LONGEST_PAUSE)  # that came to nothing
        self._taken_in = 0  # the wanted revision that the gateway knows of
        self._published: tuple[float, Observed] | None = None  # monotonic when, what
        self._phase: Phase = "starting"
        self._wanted = Wanted()
        self._gatekeeper = Gatekeeper(gateway, config, self._troubles, say)
        self.node = Node(places, server, self._gatekeeper.active, say)

    def start(self) -> None:
        """Java and the gateway; raises CommandError when either can't be started at all."""
        self._wanted = mirrors.living(wanted.load(self._places))
        self.node.expect(self._wanted)
        self._server.start()
        self._started = self._answered = time.monotonic()
        self._gatekeeper.start(self._routing())
        self._taken_in = self._wanted.revision
        self._publish(self._seen())

    def run(self, stop: threading.Event, each: Callable[[Observed], None]) -> None:
        """Until the event is set; `each` sees every state that is published."""
        while not stop.is_set():
            each(self.step())
            stop.wait(POLL)

    def step(self) -> Observed:
        """One turn of the loop."""
        with self._troubles.survived("the state folder"):
            if mended := wanted.mend(self._places, self._wanted):
                self._say(mended)
            self._wanted = mirrors.living(wanted.read(self._places) or self._wanted)
        self._keep_torchserve()
        if self._up:
            with self._troubles.survived("TorchServe", unless=lambda: not self._server.alive()):
                self.node.reconcile(self._wanted)
                self._answered = time.monotonic()
        self._route()
        seen = self._seen()
        with self._troubles.survived("the state folder"):
            self._publish(seen)
        return seen

    def drain(self) -> None:
        """No new requests; until what was accepted is answered, or the longest deadline is over."""
        self._phase = "stopping"
        longest = max((views.deadline(life.recipe) for life in self.node.lives.values()), default=0.0)
        end = time.monotonic() + longest + DRAIN_MARGIN
        self._route()
        with self._troubles.survived("the state folder"):
            self._publish(self._seen())
        listening_until = time.monotonic() + self._gatekeeper.drain() + POLL
        while self._up and self._server.alive() and time.monotonic() < end:
            with contextlib.suppress(CommandError):
                self.node.look()
                if time.monotonic() > listening_until and not self._in_flight():
                    return
            time.sleep(POLL)

    def stop(self) -> None:
        self.node.close()
        self._gatekeeper.stop()
        self._server.stop()

    def _in_flight(self) -> int:
        waiting = sum(life.pending for life in self.node.lives.values())
        return waiting + self._gatekeeper.active_all()

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
            if not self._was_up and not self._starts.tries:
                self._server.answers()  # its own words, when it never came up at all
            if self._starts.over():
                self._restart()
        elif self._server.answers():
            self._up, self._was_up, self._answered = True, True, now
            self._starts.forget()

    def _restart(self) -> None:
        self._started = time.monotonic()
        self._starts.begin()
        with self._troubles.survived("starting TorchServe"):
            self._server.start()

    def _route(self) -> None:
        """Keep the gateway, and tell it what is so."""
        if self._gatekeeper.keep(self._routing()):
            self._taken_in = self._wanted.revision
            self.node.unrouted()

    def _routing(self) -> Routing:
        wait, queue = self._config.gateway_wait, self._config.queue
        routing = views.routing(self.node, self._wanted, self._phase, alive=self._up, wait=wait, queue=queue)
        if self._page is None:
            return routing
        pages, messages = views.descriptions(self.node, self._wanted, self._config.gateway_limit)
        return msgspec.structs.replace(routing, pages={"/": self._page, **pages}, messages=messages)

    def serving(self) -> None:
        """Everything that was wanted at the start has come up, or failed."""
        self._phase = "serving"

    def _publish(self, seen: Observed) -> None:
        """Where it has changed: a file that is replaced costs the disk."""
        now = time.monotonic()
        if self._published is None or self._published[1] != seen or now - self._published[0] > HEARTBEAT:
            observed.publish(self._places, seen)
            self._published = now, seen

    def _seen(self) -> Observed:
        address = self._config.gateway if self._with_gateway else self._config.inference
        grpc = address if self._with_gateway else self._config.grpc_inference
        return Observed(
            revision=self._taken_in,
            pid=os.getpid(),
            phase=self._phase,
            torchserve=self._up,
            gateway=self._gatekeeper.alive(),
            url=address.url,
            grpc=grpc.url.removeprefix("http://"),  # with TLS a URL, which says so
            models=views.seen(self.node, self._wanted),
        )
