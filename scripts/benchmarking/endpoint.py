"""What is measured: a model behind the gateway, on the `up` that runs, an own one, or elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from scripts import config
from scripts.benchmarking import memory, private, variant
from scripts.benchmarking.service import Service
from scripts.benchmarking.target import Target
from scripts.calling.inference import Inference
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.optimising import first
from scripts.places import Places
from scripts.processes.children import Children
from scripts.state import observed

OURS = "pthserve"
DIRECT = "TorchServe, direct"


class Endpoint(Struct, frozen=True):
    """Where one model answers, and whose process serves it."""

    name: str
    gateway: str
    """Base URL."""
    direct: str = ""
    """TorchServe's; "" where that isn't known."""
    pid: int | None = None
    """The supervisor's; None for one that isn't on this machine."""
    version: str = ""
    runtime: str = ""
    up_seconds: float | None = None
    """From starting `up` until all workers were READY, if we started it."""

    def contestants(self, file: Path, items: int, children: Children, *, direct: bool) -> list[Service]:
        """The endpoint through the gateway, and with `direct` past it; raises CommandError."""
        if direct and not self.direct:
            raise CommandError("TorchServe's own address isn't known there", hint="leave out --direct")
        ways = [(OURS, "through the gateway", self.gateway)]
        if direct:
            ways.append((DIRECT, "the same workers past the gateway", self.direct))
        return [
            Service(
                name,
                what,
                Target(Inference(url).endpoint(self.name), str(file), items),
                self.pid,
                children,
            )
            for name, what, url in ways
        ]

    def workers(self) -> list[int]:
        """The processes of the model's workers."""
        return [] if self.pid is None else memory.workers(self.pid, self.name)


def running(places: Places, name: str) -> Endpoint | None:
    """The model on the `up` of these places; None unless it answers there."""
    seen = observed.load(places)
    model = seen.models.get(name) if seen is not None else None
    if seen is None or model is None or not model.default:
        return None
    return Endpoint(
        name,
        seen.url,
        config.load(places.config).inference.url,
        seen.pid,
        model.default,
        model.versions[model.default].runtime,
    )


def started(
    entry: Entry, places: Places, folder: Path, children: Children, stack: ExitStack
) -> tuple[Endpoint, Entry, list[str]]:
    """A copy of the model on an `up` of its own below `folder`, with what was decided on its runtime first.

    The copy, so that nothing is written to models/; and what there is to say. Raises CommandError.
    """
    models = folder / "models"
    models.mkdir(parents=True)
    copy = variant.make(entry, models, {})
    own = private.places_in(folder, replace(places, models=models))
    notes = first.decided(copy, own, children)
    private.run(own, children, "archive", entry.name)
    up = private.Up(own, [entry.name], stack)
    found = running(own, entry.name)
    if found is None:
        raise CommandError(f"{entry.name} doesn't come up:\n{up.program.tail()}")
    return replace(found, up_seconds=up.seconds), copy, notes
