"""The observed state: what the supervisor of this node sees. It alone writes it, commands read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from scripts.places import Places
from scripts.state import durable

State = Literal["waiting", "loading", "ready", "recovering", "failed", "leaving"]
"""waiting for its turn, or for the next try; recovering: no worker is READY, and some were."""

Phase = Literal["starting", "serving", "stopping"]


class SeenVersion(Struct, frozen=True, omit_defaults=True):
    """One version on this node."""

    state: State
    wanted: int
    """Workers that it should have."""
    ready: int = 0
    """Workers that are READY."""
    asked: int = 0
    """Which request for it (the revision) this state answers."""
    reason: str = ""
    """Why it failed, in one line."""
    traceback: str = ""
    attempts: int = 0
    """Failed tries in a row."""
    retry_in: int = 0
    """Seconds until the next one."""
    queue: int = 0
    """Requests that wait for a worker."""
    active: int | None = None
    """Requests in flight, as the gateway counts them; None without one."""
    memory: int = 0
    """Bytes that its workers hold, shared pages counted in each."""
    device: str = ""
    runtime: str = ""
    """What its workers execute, as they tell: "openvino", "eager (not openvino: library)"."""
    samples: str = ""
    assumed: tuple[str, ...] = ()
    """Parts of its recipe that were drafted and that no sample proves: architecture, input, output."""

    @property
    def whole(self) -> bool:
        """Whether it answers with as many workers as it should have."""
        return self.state == "ready" and self.ready >= self.wanted


class SeenShare(Struct, frozen=True):
    """A version that gets a share of the requests that name none, or copies of it."""

    version: str
    percent: float

    def __str__(self) -> str:
        return f"{self.version} {self.percent:g}%"


class SeenModel(Struct, frozen=True, omit_defaults=True):
    """An endpoint on this node."""

    default: str
    """The version that answers callers who name none; "" while none can."""
    versions: Mapping[str, SeenVersion]
    canary: SeenShare | None = None
    """What answers a share of those callers in the default's place."""
    shadow: SeenShare | None = None
    """What copies of a share of their requests are compared with."""


class Observed(Struct, frozen=True):
    """What the supervisor saw at one moment."""

    revision: int
    """The wanted revision that it has taken in, and the gateway with it."""
    pid: int
    phase: Phase
    torchserve: bool
    """Whether TorchServe lives."""
    gateway: bool
    """Whether the gateway lives; also False when it was started without one."""
    url: str
    """Where callers reach the endpoints."""
    grpc: str
    """HOST:PORT of gRPC."""
    models: Mapping[str, SeenModel] = field(default_factory=dict)

    def versions(self, name: str) -> Mapping[str, SeenVersion]:
        model = self.models.get(name)
        return model.versions if model is not None else {}

    def version(self, name: str, version: str) -> SeenVersion | None:
        return self.versions(name).get(version)


def publish(places: Places, seen: Observed) -> None:
    durable.replace(_path(places), msgspec.json.encode(seen), sync=False)


def forget(places: Places) -> None:
    """What the last supervisor saw is nobody's state any more."""
    _path(places).unlink(missing_ok=True)


def load(places: Places) -> Observed | None:
    """What is seen now; None when no supervisor runs here."""
    if not durable.held(places.supervisor_lock):
        return None
    try:
        return msgspec.json.decode(_path(places).read_bytes(), type=Observed)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _path(places: Places) -> Path:
    return places.state / "observed.json"
