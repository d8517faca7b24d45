"""From registering an archive to READY, ours and the stock handler's on the same weights, turn by turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from handlers.recipe import Recipe
from scripts import config
from scripts.benchmarking import private, stock_archive, variant
from scripts.benchmarking.figures import Spread, spread
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places
from scripts.processes.children import Children
from scripts.serving.torchserve import TorchServe

TIMEOUT = 300.0  # s
POLL = 0.02  # s
STOCK = "stock"

ONE = {"minWorkers": 1, "maxWorkers": 1}


class ColdStart(Struct, frozen=True):
    """Seconds from the call that registers to a worker that is READY."""

    ours: Spread
    stock: Spread

    @property
    def ratio(self) -> float:
        return self.ours / self.stock


def measured(places: Places, entry: Entry, rounds: int, scratch: Path, children: Children) -> ColdStart:
    """One worker each, on one TorchServe with our settings; raises CommandError.

    Ours unpacks, verifies every file, opens the runtime and replays the samples within that time.
    """
    models = scratch / "models"
    models.mkdir(parents=True)
    alone = variant.make(entry, models, ONE)
    own = private.places_in(scratch / "own", replace(places, models=models))
    private.run(own, children, "archive", entry.name)
    named = replace(alone.recipe.handler, name=STOCK, version=stock_archive.VERSION)
    stock_archive.pack(named, alone.folder, own.store, scratch / "stock", children)
    with ExitStack() as stack:
        server = TorchServe(config.effective(config.load(own.config), own.store), own.logs)
        stack.callback(server.stop)
        server.start()
        _until(server.answers, "TorchServe", server)
        archives = {
            entry.name: (mar.path_in(own, entry.name, entry.version), alone.recipe),
            STOCK: (own.store / f"{STOCK}.mar", replace(alone.recipe, handler=named)),
        }
        took: dict[str, list[float]] = {name: [] for name in archives}
        for _ in range(rounds):
            for name, (archive, recipe) in archives.items():
                took[name].append(_registered(server, archive, recipe))
    return ColdStart(spread(took[entry.name]), spread(took[STOCK]))


def _registered(server: TorchServe, archive: Path, recipe: Recipe) -> float:
    """Seconds until a worker was READY; then it is taken away again."""
    name, version = recipe.handler.name, recipe.handler.version
    began = time.perf_counter()
    refused = server.management.register(archive, recipe)
    if refused:
        raise CommandError(f"TorchServe doesn't register {archive.name}: {refused}")
    _until(lambda: _ready(server, name), archive.name, server)
    took = time.perf_counter() - began
    server.management.unregister(name, version)
    _until(lambda: not server.management.describe(name), f"without {archive.name}, TorchServe", server)
    return took


def _ready(server: TorchServe, name: str) -> bool:
    found = server.management.describe(name)
    return bool(found) and any(worker.status == "READY" for worker in found[0].workers)


def _until(fact: Callable[[], bool], what: str, server: TorchServe) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not fact():
        if time.monotonic() > deadline:
            raise CommandError(f"{what} isn't there after {TIMEOUT:.0f} s:\n{server.tail()}")
        time.sleep(POLL)
