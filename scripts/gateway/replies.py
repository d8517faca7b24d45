"""What the gateway answers itself: the error body with its codes, and what each is over gRPC.

a route that refuses (routes.py), a script (gateway/*.lua), Envoy's own failure (mappers.py)
    -> {"error": {...}, "request_id": "..."}, over gRPC the same text as grpc-message
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

Document = dict[str, Any]
"""What Envoy reads as JSON."""

INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 3, 4, 5, 7, 8
UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = 12, 14, 16
"""gRPC's status codes (github.com/grpc/grpc/blob/master/doc/statuscodes.md)."""

ARRIVES_IN = 60
"""Seconds within which a request must be there whole."""

LATER = "try again; Retry-After says in how many seconds"
NO_DEFAULT = "has no version that can answer"


class Reply(Struct, frozen=True):
    """One answer of the gateway's own."""

    status: int
    body: Document
    """Of a refusal its error: code, message, hint."""
    grpc: int = UNAVAILABLE
    retry_after: int = 0
    """Seconds; 0 leaves the header out."""
    allow: str = ""
    """The methods of a 405."""
    formatted: bool = False
    """Whether the body holds operators of Envoy's format strings."""
    challenge: str = ""
    """How a 401 is to be answered: WWW-Authenticate."""

    @property
    def text(self) -> str:
        return json.dumps(self.body)

    @property
    def plain(self) -> str:
        """A refusal's error as the protocols of /v1 and /v2 want it, a text, with its code beside it."""
        said = "; ".join(self.body[key] for key in ("message", "hint") if self.body.get(key))
        return f'{json.dumps(said)}, "code": {json.dumps(self.body.get("code", ""))}'


def refusal(
    status: int,
    code: str,
    message: str,
    hint: str,
    *,
    grpc: int = UNAVAILABLE,
    retry_after: int = 0,
    allow: str = "",
    formatted: bool = False,
    challenge: str = "",
) -> Reply:
    body = {"code": code, "message": message, "hint": hint}
    return Reply(status, body, grpc, retry_after, allow, formatted, challenge)


NOT_HERE = refusal(
    404,
    "not_found",
    "there is nothing here",
    "send POST /predictions/NAME, or GET /ready",
    grpc=UNIMPLEMENTED,
)
NO_METHOD = refusal(
    404, "not_found", "this gRPC method isn't offered", "call Predictions", grpc=UNIMPLEMENTED
)
ONLY_GET = refusal(405, "wrong_method", "this takes GET", "send GET", allow="GET, HEAD")
STOPPING = refusal(503, "stopping", "the server is stopping", LATER, retry_after=5)
UNHEALTHY = refusal(503, "unhealthy", "the model server doesn't run", "it is being started", retry_after=5)
OVERLOADED = refusal(503, "overloaded", "too many requests are waiting", LATER, retry_after=1)
UNREACHED = refusal(503, "unavailable", "the model couldn't answer", LATER, retry_after=2)
GONE = refusal(
    404,
    "unknown_version",
    "this version isn't served any more",
    "name no version for the default",
    grpc=NOT_FOUND,
)
LONG_HEADERS = refusal(
    431,
    "bad_request",
    "the headers or the query are too long",
    "put into the body what the model needs",
    grpc=INVALID_ARGUMENT,
)
BAD_BODY = refusal(
    400,
    "bad_input",
    "the body can't be read as what its content type says",
    "give the right one, as curl -T FILE, -F image=@FILE or -H 'Content-Type: application/json' do",
    grpc=INVALID_ARGUMENT,
)
BAD_MESSAGE = refusal(
    400,
    "bad_input",
    "this is no PredictionsRequest",
    "send one message, as inference.proto of TorchServe 0.12 has it",
    grpc=INVALID_ARGUMENT,
)
BAD_OIP_MESSAGE = refusal(
    400,
    "bad_input",
    "this is no message of this method",
    "send one, as the Open Inference Protocol's inference.GRPCInferenceService has it",
    grpc=INVALID_ARGUMENT,
)
COMPRESSED = refusal(
    415, "unsupported_type", "the message is compressed", "send it as it is", grpc=UNIMPLEMENTED
)
NAMELESS = refusal(400, "bad_input", "the message names no model", "set model_name", grpc=INVALID_ARGUMENT)
NO_NAME = refusal(
    404,
    "unknown_model",
    "no model has such a name",
    "names are of letters, digits, _, . and -",
    grpc=NOT_FOUND,
)
NO_VERSION = refusal(
    404,
    "unknown_version",
    "no version has such a name",
    "set no model_version for the default",
    grpc=NOT_FOUND,
)
TOO_LATE = refusal(
    504,
    "deadline_exceeded",
    "the model didn't answer in time",
    "send fewer items at a time, or have responseTimeout raised in the model's recipe",
    grpc=DEADLINE_EXCEEDED,
)
UNAUTHORIZED = refusal(
    401,
    "unauthorized",
    "there is no key with the request, or none that is known here",
    "send yours as x-api-key: KEY, or as Authorization: Bearer KEY",
    grpc=UNAUTHENTICATED,
    challenge='Bearer realm="pthserve"',
)
FORBIDDEN = refusal(
    403,
    "forbidden",
    "this key isn't for this model",
    "call one that it is for, or ask whoever runs the server",
    grpc=PERMISSION_DENIED,
)
RATE_LIMITED = refusal(
    429,
    "rate_limited",
    "there are more requests with this key than were agreed on",
    "send fewer a second; Retry-After says when the next one may come",
    grpc=RESOURCE_EXHAUSTED,
    retry_after=1,  # no caller's rate is below one a second
)


def only(methods: Sequence[str]) -> Reply:
    """Of a path that takes no other."""
    told = " or ".join(methods)
    return refusal(405, "wrong_method", f"predictions take {told}", f"send {told}", allow=", ".join(methods))


def predictions_only(name: str, version: str) -> Reply:
    """Of a version whose handlers, in its archive, know no other protocol."""
    return refusal(
        501,
        "wrong_protocol",
        f"{name}/{version} was packed before this protocol was known",
        f"send POST /predictions/{name}; its owner raises handler.version and promotes it",
        grpc=UNIMPLEMENTED,
    )


def not_ready(name: str, reason: str) -> Reply:
    """`reason` begins with the version: "1.0 is loading"."""
    between = " " if reason == NO_DEFAULT else "/"
    return refusal(503, "not_ready", f"{name}{between}{reason}", LATER, retry_after=5)


def not_all_ready(reasons: Mapping[str, str]) -> Reply:
    body = {
        "code": "not_ready",
        "message": "not every model can answer",
        "hint": "`models` says which, and why; GET /ready/NAME asks for one",
        "models": dict(reasons),
    }
    return Reply(503, body, retry_after=5)


def unknown_model(asked: str) -> Reply:
    """`asked` is a format that gives the name as the caller wrote it, in characters that are safe in JSON."""
    hint = "check the name; upper and lower case differ"
    return refusal(404, "unknown_model", f"no such model: {asked}", hint, grpc=NOT_FOUND, formatted=True)


def unknown_version(name: str, asked: str, versions: Sequence[str]) -> Reply:
    message = f"{name} has no such version: {asked}"
    hint = f"there is {', '.join(versions)}; name none for the default"
    return refusal(404, "unknown_version", message, hint, grpc=NOT_FOUND, formatted=True)


def too_large(limit: int) -> Reply:
    message = f"the body has more than {limit} bytes"
    return refusal(413, "too_large", message, "send less at a time", grpc=RESOURCE_EXHAUSTED)


def headers(of: Reply, *, grpc: bool = False) -> list[Document]:
    """What comes with the body, as Envoy's HeaderValueOptions."""
    values = {
        "grpc-status": str(of.grpc) if grpc else "",
        "retry-after": str(of.retry_after or ""),
        "allow": of.allow,
        "www-authenticate": of.challenge,
    }
    return [header(key, value) for key, value in values.items() if value]


def header(key: str, value: str) -> Document:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def first(*operators: Document | str) -> str:
    """The first of these that yields anything, in Envoy's format strings."""
    return f"%COALESCE({json.dumps({'operators': operators})})%"
