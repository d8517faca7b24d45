"""What the gateway is to do: which versions callers can reach, and what the others are told meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Route(Struct, frozen=True):
    """One version of a model."""

    deadline: float
    """Seconds from the whole request to the first byte of its answer; past them the caller gets a 504."""
    unready: str = ""
    """Why it can't answer now, in a caller's words ("is loading"); "" while it can."""
    limit: int = 0
    """Requests in flight at most, those that wait included; those beyond are refused at once. 0: no limit."""
    predictions_only: bool = False
    """Whether its archive is from before the other protocols, which its handlers wouldn't understand."""
    leaving: bool = False
    """No route leads here any more, but its cluster stays: what is in flight is answered, and counted."""


class Canary(Struct, frozen=True):
    """A version that answers a share of those who name none."""

    version: str
    percent: float
    """Above 0, below 100."""


class Mirror(Struct, frozen=True):
    """A copy of a share of the requests that the default answers, for a candidate to be compared with it."""

    socket: str
    """Path of a unix socket; what it answers is ignored."""
    percent: float


class ModelRoutes(Struct, frozen=True):
    """The versions of one model, and the one that answers callers who name none."""

    versions: Mapping[str, Route]
    default: str
    """"" when all are leaving: callers are told that there is no such model."""
    canary: Canary | None = None
    mirror: Mirror | None = None


class Page(Struct, frozen=True):
    """What the gateway answers to GET at one path, from a file that it holds."""

    content_type: str
    body: bytes
    open: bool = False
    """Whether also to callers without a key."""
    model: str = ""
    """The one that it tells of, and nothing else; "" for what is every caller's."""
    headers: Mapping[str, str] = {}
    """What else comes with it; their names in lower case."""


class Caller(Struct, frozen=True):
    """Somebody with a key."""

    name: str
    keys: tuple[str, ...]
    """Any of which is his: two while one replaces the other."""
    models: tuple[str, ...] = ()
    """Those that he may call; all where none is named."""
    rate: float = 0.0
    """Requests a second; 0 for any number."""
    burst: int = 1
    """Requests at once after a pause."""


class Routing(Struct, frozen=True):
    """Everything that the supervisor tells the gateway; the whole of it each time."""

    models: Mapping[str, ModelRoutes]
    healthy: bool
    """Whether TorchServe lives: what /healthz says."""
    ready: bool
    """Whether every wanted model can answer: what /ready says; /ready/NAME speaks for one model."""
    stopping: bool = False
    """No new requests: all are told to come back later."""
    pages: Mapping[str, Page] = {}
    """By their path."""
    messages: Mapping[str, bytes] = {}
    """Answers to gRPC's questions: "ServerMetadata", "ModelMetadata/NAME", "ModelMetadata/NAME/VERSION"."""
    callers: tuple[Caller, ...] | None = None
    """Who may call; None where nobody is asked for a key."""
