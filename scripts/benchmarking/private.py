"""An `up` of a benchmark's own: its state, archives and ports are nobody else's."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from scripts import config
from scripts.benchmarking.program import Program
from scripts.benchmarking.service import free_ports
from scripts.config import GIVEN, Config
from scripts.errors import CommandError
from scripts.places import ROOT, Places
from scripts.processes.children import Children
from scripts.state import observed
from scripts.state.observed import Observed

HTTP_KEYS = ("gateway", "gateway_metrics", "inference", "management", "metrics")
GRPC_KEYS = ("grpc_inference_port", "grpc_management_port")

UP_TIMEOUT = 400.0  # s; where `runtime: auto` has no decision yet, it is measured first


class Up:
    """One that runs until the stack ends. Models were packed before: starting is all that it does."""

    def __init__(self, places: Places, names: Sequence[str], stack: ExitStack) -> None:
        """Raises CommandError when they don't come up."""
        self.places = places
        places.state.mkdir(parents=True, exist_ok=True)
        command, log = verb(places, "up", *names), places.state / "up.txt"
        began = time.perf_counter()
        self.program = stack.enter_context(Program("up", command, log))
        self.program.wait(lambda: _ready(self.places, names), UP_TIMEOUT)
        self.seconds = time.perf_counter() - began

    @property
    def seen(self) -> Observed:
        found = observed.load(self.places)
        if found is None:
            raise CommandError(f"up has ended:\n{self.program.tail()}")
        return found


def places_in(folder: Path, places: Places, *, patient: bool = True) -> Places:
    """Free ports and an empty store below `folder`; recipes and the rest of the configuration as they are.

    `patient`: however many connections ask at once, each waits for its answer and none is refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.properties"
    moved = {**_moved(config.load(places.config)).properties, **({"gateway_wait": "0"} if patient else {})}
    path.write_text("".join(f"{key}={value}\n" for key, value in moved.items()), encoding="utf-8")
    return replace(places, config=path, store=folder / "store", state=folder / "state")


def _moved(found: Config) -> Config:
    ports = free_ports(len(HTTP_KEYS) + len(GRPC_KEYS))
    http = {f"{key}_address": f"http://127.0.0.1:{port}" for key, port in zip(HTTP_KEYS, ports, strict=False)}
    grpc = {key: str(port) for key, port in zip(GRPC_KEYS, ports[len(HTTP_KEYS) :], strict=True)}
    own = {"grpc_inference_address": "127.0.0.1", "grpc_management_address": "127.0.0.1"}
    asked = dict.fromkeys(GIVEN.values(), "")  # nobody else reaches it, so it asks nobody for a key
    return Config({**found.properties, **http, **grpc, **own, **asked}, found.path)


def run(places: Places, children: Children, *words: str) -> str:
    """What another command prints; raises CommandError with its message when it fails."""
    done = children.run(verb(places, *words), cwd=ROOT)
    if done.returncode:
        raise CommandError(f"`{' '.join(words)}` failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def verb(places: Places, *words: str) -> list[str]:
    """The command line of one of our commands on these places."""
    given = {
        "--models": places.models,
        "--store": places.store,
        "--config": places.config,
        "--state": places.state,
    }
    options = [word for option, path in given.items() for word in (option, str(path.resolve()))]
    return [sys.executable, "-m", "scripts.cli", *options, *words]


def _ready(places: Places, names: Sequence[str]) -> bool:
    seen = observed.load(places)
    return seen is not None and seen.phase == "serving" and all(_whole(seen, name) for name in names)


def _whole(seen: Observed, name: str) -> bool:
    """Whether the version that answers has all of its workers."""
    model = seen.models.get(name)
    version = model.versions.get(model.default) if model is not None else None
    return version is not None and version.whole
