"""up: pack what is missing, start TorchServe and the gateway, serve what is wanted until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, SimpleQueue

from rich.console import Console

from handlers.errors import Refusal
from scripts import config
from scripts.archive import Outcome
from scripts.catalog import Entry
from scripts.config import Config
from scripts.endpoints import Endpoint, print_endpoints, say
from scripts.errors import CommandError
from scripts.gateway.envoy import Gateway
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.processes import ports, scratch, signals
from scripts.processes.children import Children
from scripts.serving import startup
from scripts.serving.startup import Plan
from scripts.serving.supervisor import Supervisor
from scripts.serving.torchserve import TorchServe
from scripts.state import durable, observed, wanted
from scripts.state.observed import Observed

INTERRUPTED = 130  # as shells report Ctrl-C


def up(
    places: Places,
    names: Sequence[str],
    host: str | None,
    gateway: bool,
    console: Console,
    *,
    optimise: bool = True,
    given: Mapping[str, str | Path | None] = {},
    insecure: bool = False,
) -> int:
    """Serve until a signal; the exit status is 1 if any model that was wanted didn't come up.

    It is INTERRUPTED when the signal comes before all of it has come up, or failed. `given` are the
    configuration's values from the command line; `insecure` lets anybody in from other machines.
    """
    settings = config.given(config.load(places.config), given)
    if host is not None:
        settings = config.opened(settings, host, gateway=gateway)
    check_doors(settings, gateway=gateway, insecure=insecure)
    with durable.locked(places.supervisor_lock, wait=False) as ours:
        if not ours:
            raise CommandError(
                f"{shown(places.state)} has a supervisor already",
                hint="stop that one, or give this one its own with --state DIR and --config FILE",
            )
        observed.forget(places)
        for found in scratch.clear():
            say(console, found, "yellow")
        if mended := wanted.mend(places):
            say(console, mended, "yellow")
        plan = startup.plan(places, wanted.load(places), names)
        for name, reason in plan.refused.items():
            if name not in plan.untrained:
                say(console, f"✗ {name}: {reason}", "red")
        if not plan.names:
            raise startup.none_to_serve()
        wanted.change(places, lambda state: startup.select(state, plan))
        with signals.stop_requested() as stop:
            return Up(places, plan, settings, gateway, stop, console, optimise=optimise).run()


def check_doors(settings: Config, *, gateway: bool, insecure: bool) -> None:
    """Raises CommandError where other machines would reach the models, and nobody were asked who he is."""
    asks = settings.gateway_keys or settings.gateway_certificate or settings.gateway_tracing
    if not gateway and asks is not None:
        raise CommandError("keys, TLS and tracing are the gateway's", hint="leave out --no-gateway")
    if insecure:
        return
    guarded = settings.gateway_keys is not None or settings.gateway_client_authorities is not None
    within, with_keys = "keep it on 127.0.0.1", "give --keys FILE (docs/limits.md)"
    if gateway:
        doors = {} if guarded else {settings.gateway: with_keys}
        doors[settings.gateway_metrics] = within
    else:
        doors = dict.fromkeys((settings.inference, settings.grpc_inference), "leave out --no-gateway")
    doors |= {address: within for address in settings.addresses() if address not in doors}
    for address, remedy in doors.items():
        if not ip_address(ports.numeric(address)[0]).is_loopback:
            raise CommandError(
                f"{address.host}:{address.port} ({address.key}) is open to other machines, "
                "and asks nobody for a key",
                hint=f"{remedy}, or --insecure where the network lets in nobody else",
            )


def curl_options(settings: Config) -> str:
    """What a request needs beyond its URL, by the names under which our own commands look for it."""
    asked = {
        '-H "x-api-key: $PTHSERVE_KEY"': settings.gateway_keys,
        '--cacert "$PTHSERVE_CA"': settings.gateway_certificate,
        '--cert "$PTHSERVE_CERT" --key "$PTHSERVE_CERT_KEY"': settings.gateway_client_authorities,
    }
    return " ".join(option for option, path in asked.items() if path is not None)


class Up:
    """One run of `up`: packing beside the supervisor's loop, and what is said of it."""

    def __init__(
        self,
        places: Places,
        plan: Plan,
        settings: Config,
        gateway: bool,
        stop: threading.Event,
        console: Console,
        *,
        optimise: bool = True,
    ) -> None:
        self._places = places
        self._optimise = optimise
        self._plan = plan
        self._stop = stop
        self._console = console
        self._children = Children()
        self._packed: SimpleQueue[tuple[Entry, Outcome | Refusal | OSError]] = SimpleQueue()
        self._pending = dict(plan.kept)  # what hasn't come up yet, with what there is to say of it
        self._packing = {entry.name for entry in plan.new}
        self._failed = len(plan.refused) - len(plan.untrained)
        self._settled = False
        self._options = curl_options(settings)
        self._server = TorchServe(config.effective(settings, places.store), places.logs)
        self._supervisor = Supervisor(
            places,
            self._server,
            Gateway(settings, places.logs) if gateway else None,
            settings,
            lambda text: self._say(text, "yellow"),
        )

    def run(self) -> int:
        threading.Thread(target=self._end_on_stop, daemon=True).start()
        try:
            self._places.store.mkdir(parents=True, exist_ok=True)
            self._supervisor.start()
            threading.Thread(target=self._pack, daemon=True).start()
            self._supervisor.run(self._stop, self._see)
            self._say("stopping")
            self._supervisor.drain()  # also what came up first may have been asked already
            if not self._settled:
                return INTERRUPTED
            return 1 if self._failed else 0
        except Refusal:
            if self._stop.is_set() and not self._settled:  # what was under way failed because of it
                return INTERRUPTED
            raise
        finally:
            self._stop.set()
            self._supervisor.stop()

    def _pack(self) -> None:
        for entry, outcome in startup.pack(
            self._plan.new, self._places, self._children, self._say, optimise=self._optimise
        ):
            self._packed.put((entry, outcome))

    def _end_on_stop(self) -> None:
        """Packing ends as soon as a signal comes, not when it is done."""
        self._stop.wait()
        self._children.stop()

    def _see(self, seen: Observed) -> None:
        """Say what has come up, and, once nothing is pending, which endpoints answer."""
        if self._settled:
            return
        self._take_packed()
        for name in list(self._pending):
            self._report(name, seen)
        if self._pending or self._packing:
            return
        ready = self._ready(seen)
        if not ready:
            raise CommandError("no model is READY", hint="see above")
        self._settled = True
        self._supervisor.serving()
        for name in self._plan.unregistered:
            self._say(f"{name} was unregistered; scripts/pthserve register {name} brings it back")
        with _unheard():
            page = seen.url if seen.gateway else ""
            print_endpoints(ready, self._plan.untrained, self._console, page=page)

    def _take_packed(self) -> None:
        while True:
            try:
                entry, outcome = self._packed.get_nowait()
            except Empty:
                return
            self._packing.discard(entry.name)
            if isinstance(outcome, Outcome):
                self._pending[entry.name] = outcome.notes
            else:
                self._fail(entry.name, str(outcome))

    def _report(self, name: str, seen: Observed) -> None:
        """A model's line, once all its versions have come up or failed; none if it was unregistered."""
        versions = {number: one for number, one in seen.versions(name).items() if one.state != "leaving"}
        if any(one.state not in ("ready", "failed") for one in versions.values()):
            return
        if not versions and name in wanted.load(self._places).serving():
            return
        failures = [
            f"{number}: {one.reason}" if len(versions) > 1 else one.reason
            for number, one in versions.items()
            if one.state == "failed"
        ]
        notes = self._pending.pop(name)
        if failures:
            self._fail(name, "; ".join(failures))
        if len(failures) < len(versions):
            self._say(f"✓ {name}: {'; '.join([*notes, 'READY'])}")

    def _fail(self, name: str, reason: str) -> None:
        self._failed += 1
        self._say(f"✗ {name}: {reason}", "red")

    def _say(self, text: str, style: str | None = None) -> None:
        with _unheard():
            say(self._console, text, style)

    def _ready(self, seen: Observed) -> list[Endpoint]:
        found = []
        for name, model in sorted(seen.models.items()):
            version = model.versions.get(model.default)
            if version is not None and version.state == "ready":
                recipe = mar.read_recipe(mar.path_in(self._places, name, model.default))
                url = f"{seen.url}/predictions/{name}"
                folder = self._places.models / name
                found.append(Endpoint(recipe, version.ready, folder, url, self._options))
        return found


@contextmanager
def _unheard() -> Iterator[None]:
    """Whoever read what is said may have gone, and the terminal with them: we serve on, and drain later."""
    with suppress(OSError, SystemExit):  # the second is rich's, for a pipe that nobody reads
        yield
