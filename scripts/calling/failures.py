"""Why a call got no answer, as the tree that client.py draws, read from whatever came back instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from handlers.errors import Refusal

SHOWN = 200
"""Characters that are quoted of a text which is no error body of ours."""


class Received(Struct, frozen=True):
    """One response, read whole; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PredictionError(Refusal):
    """Base of all; `str` of it tells the message, the hint and the request id."""

    status = 0
    """That of the response; 0 where there was none."""
    code = "no_answer"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        status: int | None = None,
        request_id: str = "",
        items: tuple[Mapping[str, Any], ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code, status=status)
        self.request_id = request_id
        self.items = items
        """Of a list: index, code, message and hint of each item that failed."""
        self.retry_after = retry_after
        """Seconds after which the server wants to be asked again; None where it named none."""

    def __str__(self) -> str:
        named = f" (request id {self.request_id})" if self.request_id else ""
        return super().__str__() + named


class BadRequest(PredictionError):
    """4xx: what is sent has to change."""

    code = "bad_request"


class Unauthorized(BadRequest):
    """401: no key, or an unknown one."""

    code = "unauthorized"


class Forbidden(BadRequest):
    """403: the key doesn't allow this."""

    code = "forbidden"


class NotFound(BadRequest):
    """404: no such model, version or path."""

    code = "not_found"


class Overloaded(PredictionError):
    """429, or a 503 that names a Retry-After: the same call may succeed later."""

    code = "overloaded"


class ServerFailed(PredictionError):
    """Any other 5xx: the server's own fault."""

    code = "server_failed"


class Unreachable(PredictionError):
    """No connection, or one that broke off before the answer was there whole."""

    code = "unreachable"


class TimedOut(PredictionError):
    """The answer wasn't there in the time that the call had."""

    code = "timed_out"


UNEXECUTED: Mapping[int, frozenset[str]] = {
    HTTPStatus.TOO_MANY_REQUESTS: frozenset({"rate_limited"}),
    HTTPStatus.SERVICE_UNAVAILABLE: frozenset({"overloaded", "not_ready", "stopping", "unhealthy"}),
}
"""Codes by which the gateway says that no worker has seen the request."""

_NAMED = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: Overloaded}


def failure(received: Received, request_id: str) -> PredictionError:
    """What a response other than 2xx says, in our error body or in anyone's; `request_id` is the one sent."""
    told = _told(received.body)
    after = retry_after(received.headers)
    message = _text(told.get("message")) or _quoted(received)
    return _kind(received.status, after)(
        message,
        hint=_text(told.get("hint")),
        code=_text(told.get("code")) or None,
        status=received.status,
        request_id=_text(told.get("request_id")) or received.headers.get("x-request-id", request_id),
        items=_items(told.get("items")),
        retry_after=after,
    )


def unexecuted(received: Received) -> bool:
    """Whether the response itself says that nothing was executed: a text of a proxy's own says nothing."""
    return _text(_told(received.body).get("code")) in UNEXECUTED.get(received.status, ())


def unreadable(received: Received, request_id: str, url: str, why: str) -> PredictionError:
    """For a 2xx whose body isn't the answer that was asked for."""
    return PredictionError(
        f"the answer of {url} {why}: {_start(received.body) or 'no text'}",
        hint="see that the URL is that of a pthserve gateway",
        code="unreadable_answer",
        status=received.status,
        request_id=received.headers.get("x-request-id", request_id),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, which the header has as a number or a date (RFC 9110, 10.2.3); None where it has neither."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            then = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):  # TypeError: Python 3.10's; OverflowError: a year
            return None
        if then.tzinfo is None:  # "-0000"
            then = then.replace(tzinfo=timezone.utc)
        seconds = (then - datetime.now(timezone.utc)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _kind(status: int, after: float | None) -> type[PredictionError]:
    if status in _NAMED:
        return _NAMED[status]
    if status == HTTPStatus.SERVICE_UNAVAILABLE and after is not None:
        return Overloaded
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerFailed
    return BadRequest if status >= HTTPStatus.BAD_REQUEST else PredictionError


def _told(body: bytes) -> dict[str, Any]:
    """The fields of an error, wherever they stand; none when the body has another form.

    {"error": {"code", "message", ...}} is ours, {"error": "text", ...} the Open Inference Protocol's, and
    {"code": 404, "type", "message"} TorchServe's.
    """
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    error = found.get("error")
    if isinstance(error, dict):
        return {**found, **error}
    return {**found, "message": error} if isinstance(error, str) else found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _items(value: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _quoted(received: Received) -> str:
    """For a response that says nothing in a form that is known: a proxy's page, or nothing at all."""
    try:
        phrase = f" {HTTPStatus(received.status).phrase}"
    except ValueError:
        phrase = ""
    where = received.headers.get("location", "")
    said = f"points to {where[:SHOWN]}" if where else f"says: {_start(received.body) or 'nothing'}"
    return f"the server answers {received.status}{phrase} and {said}"


def _start(body: bytes) -> str:
    """The beginning of a text, on one line."""
    return " ".join(body[: 4 * SHOWN].decode("utf-8", "replace").split())[:SHOWN]
