"""What is served -> the gateway's pages and messages that describe it. Made anew when that changes alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from handlers.errors import Refusal
from handlers.execution import Execution
from scripts.describing import metadata, openapi
from scripts.describing.archived import JSON, Archived, archived, forget_all_but
from scripts.describing.card import Cards, card, sample_url
from scripts.describing.openapi import Version
from scripts.errors import CommandError
from scripts.gateway.routing import Page

logger = logging.getLogger(__name__)

Pages: TypeAlias = Mapping[str, Page]
Messages: TypeAlias = Mapping[str, bytes]


class Offered(Struct, frozen=True):
    """A version that callers can reach."""

    version: str
    archive: Path
    deadline: float
    """Seconds."""
    execution: Execution | None = None
    """What its worker has told, as soon as it has."""


class Served(Struct, frozen=True):
    """A model."""

    name: str
    default: str
    """"" where none of its versions answers callers who name none."""
    versions: tuple[Offered, ...]


Opened: TypeAlias = "tuple[tuple[Offered, Archived], ...]"
"""A model's versions, with their archives."""


def described(served: Sequence[Served], limit: int) -> tuple[Pages, Messages]:
    """By path, and by question; `limit`: bytes of a body.

    A version that can't be described has none: whatever its owner wrote, its neighbours have theirs.
    """
    forget_all_but([offered.archive for one in served for offered in one.versions])
    return _described(tuple((one, _opened(one)) for one in served), limit)


def predictions_only(archive: Path) -> bool:
    """Whether its handlers know no other protocol; of an archive that can't be read, they do."""
    try:
        return archived(archive).predictions_only
    except Exception:  # `described` tells it
        return False


def _opened(model: Served) -> Opened:
    found = []
    for offered in model.versions:
        try:
            found.append((offered, archived(offered.archive)))
        except (Refusal, CommandError):  # its worker tells the reason
            continue
        except Exception:
            logger.exception("%s %s can't be described", model.name, offered.version)
    return tuple(found)


@lru_cache(maxsize=1)
def _described(served: tuple[tuple[Served, Opened], ...], limit: int) -> tuple[Pages, Messages]:
    try:
        return _all(served, limit)
    except Exception:
        return _all(tuple((model, _sound(model, opened, limit)) for model, opened in served), limit)


def _sound(model: Served, opened: Opened, limit: int) -> Opened:
    """Those that can be described, each tried alone."""
    found = []
    for one in opened:
        try:
            _all(((model, (one,)),), limit)
        except Exception:
            logger.exception("%s %s can't be described", model.name, one[0].version)
        else:
            found.append(one)
    return tuple(found)


def _all(served: tuple[tuple[Served, Opened], ...], limit: int) -> tuple[Pages, Messages]:
    versions = [one for model, opened in served for one in _versions(model, opened, limit)]
    pages = _listed(versions)
    told = metadata.server()
    pages["/v2"] = _json(told)
    messages = {"ServerMetadata": metadata.server_message(told)}
    for one in versions:
        name, version = one.card.name, one.card.version
        of = metadata.model(one.card)
        page, message = _json(of, name), metadata.model_message(of)
        pages[f"/v2/models/{name}/versions/{version}"], messages[f"ModelMetadata/{name}/{version}"] = (
            page,
            message,
        )
        if one.default:
            pages[f"/v2/models/{name}"], messages[f"ModelMetadata/{name}"] = page, message
        for sample in one.archived.samples:
            pages[sample_url(one.archived.model, sample)] = Page(
                sample.content_type, sample.content, model=name
            )
    return pages, messages


def _versions(model: Served, opened: Opened, limit: int) -> list[Version]:
    names = [offered.version for offered, _ in opened]
    return [
        Version(
            found,
            card(found, offered.execution, names, max_bytes=limit, deadline=offered.deadline),
            offered.version == model.default,
        )
        for offered, found in opened
    ]


def _listed(versions: Sequence[Version]) -> dict[str, Page]:
    """What there is of all models together."""
    defaults = [one.card for one in versions if one.default]
    return {
        "/endpoints": _json(Cards(tuple(defaults))),
        "/v1/models": _json({"models": [one.name for one in defaults]}),
        "/openapi.json": Page(JSON, openapi.document(versions)),
    }


def _json(told: object, model: str = "") -> Page:
    return Page(JSON, msgspec.json.encode(told), model=model)
