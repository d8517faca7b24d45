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
    leaving: bool = False
    """No route leads here any more, but its cluster stays: what is in flight is answered, and counted."""


class ModelRoutes(Struct, frozen=True):
    """The versions of one model, and the one that answers callers who name none."""

    versions: Mapping[str, Route]
    default: str
    """"" when all are leaving: callers are told that there is no such model."""


class Routing(Struct, frozen=True):
    """Everything that the supervisor tells the gateway; the whole of it each time."""

    models: Mapping[str, ModelRoutes]
    healthy: bool
    """Whether TorchServe lives: what /healthz says."""
    ready: bool
    """Whether every wanted model can answer: what /ready says; /ready/NAME speaks for one model."""
    stopping: bool = False
    """No new requests: all are told to come back later."""
