"""What a caller is told of what failed; each protocol has its own form for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from handlers.errors import OutOfMemory, Refusal, listed
from handlers.wire.types import Outcome, Request


class Told(Struct, frozen=True):
    """`fault` and each of `items` are code, message and hint; an item has its index in front of them."""

    status: int
    fault: Mapping[str, str]
    items: Sequence[Mapping[str, Any]] = ()
    errors: tuple[Refusal, ...] = ()
    """What the log is to have, with its traceback."""


def of(error: Refusal) -> Told:
    """One refusal, of a whole request or of its only item."""
    return Told(error.status, _shown(error), errors=_logged([error]))


def failed(request: Request, outcomes: Sequence[Outcome]) -> Told | None:
    """Nothing where every item has its answer; of a list, each bad item by its index."""
    errors = {index: error for index, error in enumerate(outcomes) if isinstance(error, Refusal)}
    if not errors:
        return None
    if not request.many:
        return of(errors[0])
    status = max(error.status for error in errors.values())
    fault = {
        "code": "bad_items" if status < 500 else "internal",
        "message": f"{len(errors)} of {len(request.items)} items failed: {listed(map(str, errors), 10)}",
        "hint": "send the others without them; each item's own error is in `items`",
    }
    items = [{"index": index, **_shown(error)} for index, error in errors.items()]
    return Told(status if status >= 500 else 400, fault, items, _logged(errors.values()))


def nested(told: Told, request_id: str) -> bytes:
    """{"error": {"code", "message", "hint"}, "request_id"}: our own form."""
    error = {**told.fault, "items": told.items} if told.items else told.fault
    return msgspec.json.encode({"error": error, "request_id": request_id})


def flat(told: Told, request_id: str) -> bytes:
    """{"error": "message; hint", "code", "request_id"}: for protocols whose `error` is a text."""
    fault = told.fault
    text = f"{fault['message']}; {fault['hint']}" if fault["hint"] else fault["message"]
    body = {"error": text, "code": fault["code"], "request_id": request_id}
    return msgspec.json.encode({**body, "items": told.items} if told.items else body)


def _logged(errors: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """Those that are ours, and the caller's where the network raised something that its owner should see."""
    return tuple(error for error in errors if error.status >= 500 or error.__cause__ is not None)


def _shown(error: Refusal) -> dict[str, str]:
    """Code, message and hint; a surrogate that a message quotes becomes a question mark."""
    if error.status >= 500 and not isinstance(error, OutOfMemory):
        return {
            "code": "internal",
            "message": "the model failed on this request",
            "hint": "report the request_id; the server's log has the cause under it",
        }
    shown = {"code": error.code, "message": error.message, "hint": error.hint}
    return {key: text.encode("utf-8", "replace").decode() for key, text in shown.items()}
