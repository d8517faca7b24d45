"""`up`, run in the background as users run it, with its own everything."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.calling.inference import Inference
from scripts.config import Config, load
from scripts.places import ROOT, Places
from scripts.serving.management import Management
from scripts.state import observed
from scripts.state.observed import Observed

START_TIMEOUT = 400  # s; packing six models on two busy cores
STOP_TIMEOUT = 40  # s


@contextmanager
def serving(places: Places, *words: str) -> Iterator[Running]:
    """One that serves, until the block ends; nothing of it stays."""
    running = Running(places, *words)
    try:
        running.wait_serving()
        yield running
    finally:
        running.stop()
        shutil.rmtree(temporary(places))


class Running:
    """An `up` that runs in the background."""

    def __init__(self, places: Places, *words: str) -> None:
        self.places = places
        self.config: Config = load(places.config)
        self.inference = Inference(self.config.gateway.url)
        self.management = Management(self.config.management.url)
        self.output = places.state / "up.txt"
        places.state.mkdir(parents=True, exist_ok=True)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command(places, "up", *words),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(places),
            )

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def log(self) -> str:
        path = self.places.logs / "torchserve.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_serving(self) -> None:
        """Until it says that it serves; fails with what it said instead."""
        self.wait(lambda: "serving; Ctrl-C stops" in self.text() or self.process.poll() is not None)
        assert self.process.poll() is None, f"up ended with {self.process.returncode}:\n{self.text()}"

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same state, to its end."""
        return run(self.places, *words)

    def url(self, name: str, version: str = "") -> str:
        return self.inference.endpoint(name, version or None)

    def seen(self) -> Observed:
        """What the supervisor sees."""
        found = observed.load(self.places)
        assert found is not None, self.text()
        return found

    def wait_ready(self, *names: str) -> None:
        """Until these models can answer, whatever happened before."""
        self.wait(lambda: self.command("status", "--ready", *names).returncode == 0, 90)

    def children(self) -> list[psutil.Process]:
        """Java, the workers and the gateway."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        return next(child for child in self.children() if child.name() == name)

    def wait(self, fact: Callable[[], bool], timeout: float = START_TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while not fact():
            assert time.monotonic() < deadline, (
                f"waited {timeout} s in vain:\n{self.text()}\n{self.log()[-4000:]}"
            )
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after one signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT)

    def worker_pids(self, name: str, version: str = "1.0") -> list[int]:
        found = self.management.version(name, version)
        return sorted(worker.pid for worker in found.workers) if found is not None else []


def run(places: Places, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(places, *words),
        cwd=ROOT,
        env=environment(places),
        capture_output=True,
        text=True,
        timeout=300,
    )


def command(places: Places, *words: str) -> list[str]:
    options = {
        "--models": places.models,
        "--store": places.store,
        "--config": places.config,
        "--state": places.state,
    }
    given = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "scripts.cli", *given, *words]


def environment(places: Places) -> dict[str, str]:
    """Temporary files in a folder of the test's own, where what is left behind is seen.

    `up` measures no runtimes unless it is asked to: that takes a while for each model, and writes beside it.
    """
    return {"PTHSERVE_OPTIMISE": "0", **os.environ, "TMPDIR": str(temporary(places))}


def temporary(places: Places) -> Path:
    """Short enough for the unix sockets below it, which pytest's own folders aren't."""
    name = hashlib.sha256(str(places.state).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"pthserve-test-{name}"
    folder.mkdir(exist_ok=True)
    return folder


def private_places(folder: Path, models: Path = ROOT / "models", store: Path | None = None) -> Places:
    """Everything that `up` writes below `folder`, and free ports."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.properties"
    text = (ROOT / "config.properties").read_text(encoding="utf-8")
    ports = iter(free_ports(10))  # more than it names
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda _: str(next(ports)), text)
    text = re.sub(r"(?<=_port=)\d+", lambda _: str(next(ports)), text)
    config.write_text(text, encoding="utf-8")
    return Places(models=models, store=store or folder / "store", config=config, state=folder / "state")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
