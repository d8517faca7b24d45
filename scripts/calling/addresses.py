"""Where the endpoints answer, and with which versions, as this node's supervisor has published it."""

from __future__ import annotations

from scripts import config
from scripts.places import Places
from scripts.state import observed


def default_url(places: Places) -> str:
    """Where callers reach the endpoints by REST; the gateway's address where no supervisor runs here."""
    seen = observed.load(places)
    return seen.url if seen is not None else config.load(places.config).gateway.url


def default_grpc(places: Places) -> str:
    """The same by gRPC: a URL, or HOST:PORT."""
    seen = observed.load(places)
    return seen.grpc if seen is not None else config.load(places.config).gateway.url


def served_version(places: Places, name: str) -> str | None:
    """The version that answers callers who name none; None where that isn't known here."""
    seen = observed.load(places)
    model = seen.models.get(name) if seen is not None else None
    return (model.default or None) if model is not None else None
