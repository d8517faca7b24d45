"""The supervisor: one loop that makes observed equal wanted on this node.

    wanted.json -> node (TorchServe's registrations) -> routing (the gateway) -> observed.json

It owns Java, its workers and the gateway. A restart, a killed process and a command all take this same path.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

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
        self._was_up = False  # whether it ever did
        self._troubles: dict[str, str] = {}
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
        observed.publish(self._places, self._seen())

    def run(self, stop: threading.Event, each: Callable[[Observed], None]) -> None:
        """Until the event is set; `each` sees every state that is published."""
        while not stop.is_set():
            each(self.step())
            stop.wait(POLL)

    def step(self) -> Observed:
        """One turn of the loop."""
        with self._surviving("the state folder"):
            if mended := wanted.mend(self._places, self._wanted):
                self._say(mended)
            self._wanted = wanted.read(self._places) or self._wanted
        self._keep_torchserve()
        if self._up:
            with self._surviving("TorchServe"):
                self.node.reconcile(self._wanted)
                self._answered = time.monotonic()
        self._route()
        seen = self._seen()
        with self._surviving("the state folder"):
            observed.publish(self._places, seen)
        return seen

    @contextlib.contextmanager
    def _surviving(self, whose: str) -> Iterator[None]:
        """Trouble that another turn may not have: it is said, once for as long as it stays so."""
        try:
            yield
        except (Refusal, OSError) as error:
            if self._troubles.get(whose) != str(error) and (whose != "TorchServe" or self._server.alive()):
                self._say(f"{whose}: {error}")
            self._troubles[whose] = str(error)
        else:
            self._troubles.pop(whose, None)

    def drain(self) -> None:
        """No new requests; until what was accepted is answered, or the longest deadline is over."""
        self._phase = "stopping"
        longest = max((views.deadline(life.recipe) for life in self.node.lives.values()), default=0.0)
        end = time.monotonic() + longest + DRAIN_MARGIN
        self._route()
        with self._surviving("the state folder"):
            observed.publish(self._places, self._seen())
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
        return waiting + (self._gateway.active_all() if self._gateway is not None else 0)

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
            if not self._was_up and not self._pauses:
                self._server.answers()  # its own words, when it never came up at all
            if now - self._started > min(2.0 ** min(self._pauses, 10), LONGEST_PAUSE):
                self._pauses += 1
                self._restart()
        elif self._server.answers():
            self._up, self._was_up, self._pauses, self._answered = True, True, 0, now

    def _restart(self) -> None:
        self._started = time.monotonic()
        with self._surviving("starting TorchServe"):
            self._server.start()

    def _route(self) -> None:
        """Keep the gateway, and tell it what is so."""
        routing = self._routing()
        told = self._gateway is None
        with self._surviving("the gateway"):
            if self._gateway is not None:
                if not self._gateway.alive():
                    if "the gateway" not in self._troubles:
                        self._say("the gateway has ended; starting it again")
                    self._gateway.start(self._scratch.path, routing)
                self._gateway.publish(routing)
                told = True
                self._gateway.rotate_log()
        if told:
            self.node.unrouted()

    def _routing(self) -> Routing:
        return views.routing(self.node, self._wanted, self._phase, alive=self._up)

    def _active(self, name: str, version: str) -> int | None:
        """None without a gateway. One that doesn't answer may have anything in flight."""
        if self._gateway is None:
            return None
        try:
            return self._gateway.active(name, version)
        except CommandError:
            return 1

    def serving(self) -> None:
        """Everything that was wanted at the start has come up, or failed."""
        self._phase = "serving"

    def _seen(self) -> Observed:
        gateway = self._gateway
        address = self._config.gateway if gateway is not None else self._config.inference
        grpc = address if gateway is not None else self._config.grpc_inference
        return Observed(
            revision=self._wanted.revision,
            pid=os.getpid(),
            phase=self._phase,
            torchserve=self._up,
            gateway=gateway is not None and gateway.alive(),
            url=address.url,
            grpc=grpc.url.removeprefix("http://"),
            models=views.seen(self.node, self._wanted),
        )
