"""Bytes -> Request(items), and answers -> bytes: one file a protocol.

So far there is one protocol, TorchServe's own predictions; a request in another one would be told
here by its row, and answered in its own form.
"""

from __future__ import annotations

from collections.abc import Sequence

from handlers.errors import Refusal
from handlers.recipe import Model
from handlers.wire import predictions
from handlers.wire.types import Answered, EncodedImage, Item, Numbers, Outcome, Request, Response, Row

__all__ = [
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


def read(row: Row, recipe: Model) -> Request:
    """One row -> its items; raises BadInput when the request as a whole can't be read."""
    return predictions.read(row, recipe)


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """The outcomes of a request's items, in their order -> the response."""
    return predictions.write(request, outcomes)


def refuse(row: Row, error: Refusal) -> Response:
    """The response to a row that couldn't be read."""
    return predictions.refuse(row.request_id, error)
