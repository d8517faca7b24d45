"""Bytes -> Request(items), and answers -> bytes: one file a protocol, which a row's header names.

The gateway sets that header, and callers can't. Without it, or with one that is unheard of, it is
TorchServe's own predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from handlers.errors import Refusal
from handlers.recipe import Model
from handlers.wire import kserve_v1, oip_json, predictions
from handlers.wire.types import (
    PROTOCOL,
    Answered,
    EncodedImage,
    Item,
    Numbers,
    Outcome,
    Request,
    Response,
    Row,
)

__all__ = [
    "KSERVE_V1",
    "OIP",
    "OIP_GRPC",
    "PROTOCOL",
    "Answered",
    "EncodedImage",
    "Item",
    "Numbers",
    "Outcome",
    "Request",
    "Response",
    "Row",
    "read",
    "refuse",
    "write",
]


KSERVE_V1, OIP, OIP_GRPC = "kserve_v1", "oip", "oip_grpc"
"""Values of the header."""


class Spoken(Protocol):
    """What each of the protocols' files has."""

    def read(self, row: Row, recipe: Model) -> Request: ...

    def write(self, request: Request, outcomes: Sequence[Outcome]) -> Response: ...

    def refuse(self, request_id: str, error: Refusal) -> Response: ...


def read(row: Row, recipe: Model) -> Request:
    """One row -> its items; raises BadInput when the request as a whole can't be read."""
    protocol = row.headers.get(PROTOCOL)
    if protocol is None:
        return predictions.read(row, recipe)
    return msgspec.structs.replace(_spoken(protocol).read(row, recipe), protocol=protocol)


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """The outcomes of a request's items, in their order -> the response."""
    return _spoken(request.protocol).write(request, outcomes)


def refuse(row: Row, error: Refusal) -> Response:
    """The response to a row that couldn't be read, or whose answer couldn't be written."""
    return _spoken(row.headers.get(PROTOCOL, "")).refuse(row.request_id, error)


def _spoken(protocol: str) -> Spoken:
    if not protocol:
        return predictions
    if protocol == OIP:
        return oip_json
    if protocol == KSERVE_V1:
        return kserve_v1
    if protocol == OIP_GRPC:
        from handlers.wire import oip_grpc  # protobuf, 0.05 s that workers without such callers needn't spend

        return oip_grpc
    return predictions
