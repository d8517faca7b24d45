"""What the gateway answers itself: the error body with its codes, and what each is over gRPC.

a route that refuses (routes.py) ---------> mapper --> {"error": {...}, "request_id": "..."}
Envoy's own failure ("upstream connect ..") --^        over gRPC the same text as grpc-message
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

Document = dict[str, Any]
"""What Envoy reads as JSON."""

INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 3, 4, 5, 8
UNIMPLEMENTED, UNAVAILABLE = 12, 14
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

    @property
    def text(self) -> str:
        return json.dumps(self.body)


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
) -> Reply:
    body = {"code": code, "message": message, "hint": hint}
    return Reply(status, body, grpc, retry_after, allow, formatted)


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
ONLY_POST = refusal(405, "wrong_method", "predictions take POST or PUT", "curl -T FILE", allow="POST, PUT")
ONLY_GET = refusal(405, "wrong_method", "this takes GET", "send GET", allow="GET, HEAD")
STOPPING = refusal(503, "stopping", "the server is stopping", LATER, retry_after=5)
UNHEALTHY = refusal(503, "unhealthy", "the model server doesn't run", "it is being started", retry_after=5)
OVERLOADED = refusal(503, "overloaded", "too many requests are waiting", LATER, retry_after=1)
UNREACHED = refusal(503, "unavailable", "the model couldn't answer", LATER, retry_after=2)
TOO_LATE = refusal(
    504,
    "deadline_exceeded",
    "the model didn't answer in time",
    "send fewer items at a time, or have responseTimeout raised in the model's recipe",
    grpc=DEADLINE_EXCEEDED,
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
    """`asked` is a format that gives what the caller wrote, in characters that are safe in JSON."""
    hint = "check the name; upper and lower case differ"
    return refusal(404, "unknown_model", f"no such model: {asked}", hint, grpc=NOT_FOUND, formatted=True)


def unknown_version(name: str, asked: str, versions: Sequence[str]) -> Reply:
    message = f"{name} has no such version: {asked}"
    hint = f"there is {', '.join(versions)}; name none for the default"
    return refusal(404, "unknown_version", message, hint, grpc=NOT_FOUND, formatted=True)


def too_large(limit: int) -> Reply:
    message = f"the body has more than {limit} bytes"
    return refusal(413, "too_large", message, "send less at a time", grpc=RESOURCE_EXHAUSTED)


def envoys_own(limit: int) -> list[tuple[str, Reply]]:
    """Envoy's own failures as conditions in CEL, of which the first that holds counts; what callers read."""
    late = f"the request wasn't there whole after {ARRIVES_IN} seconds"
    http, headers = "the request isn't valid HTTP", "the headers are too large"
    bad = "bad_request"
    return [
        ("response.code == 413", too_large(limit)),
        (
            "response.code == 408",
            refusal(408, "request_timeout", late, "send less at a time", grpc=DEADLINE_EXCEEDED),
        ),
        ("response.code == 404", NOT_HERE),
        ("response.code == 426", refusal(426, bad, "HTTP/1.0 isn't spoken here", "use HTTP/1.1 or HTTP/2")),
        ("response.code == 431", refusal(431, bad, headers, "put into the body what the model needs")),
        ("response.code < 500", refusal(400, bad, http, "use a client's library", grpc=INVALID_ARGUMENT)),
        ("response.code == 504", TOO_LATE),
        ("response.code_details.contains('overflow') || response.code_details == 'overload'", OVERLOADED),
        ("true", UNREACHED),
    ]


def headers(of: Reply, *, grpc: bool = False) -> list[Document]:
    """What comes with the body, as Envoy's HeaderValueOptions."""
    values = {
        "grpc-status": str(of.grpc) if grpc else "",
        "retry-after": str(of.retry_after or ""),
        "allow": of.allow,
    }
    return [header(key, value) for key, value in values.items() if value]


def header(key: str, value: str) -> Document:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def mappers(limit: int, request_id: str) -> list[Document]:
    """`local_reply_config.mappers`; `request_id` is the format that gives the answer's id."""
    ours = "response.code_details in ['direct_response', 'lua_response']"
    named = [header("x-request-id", request_id)]
    bare = {"content_type": "application/json", "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}
    found = [
        _when(f"{ours} && response.code < 400", headers_to_add=named, body_format_override=bare),
        _when(ours, headers_to_add=named),
    ]
    for condition, told in envoys_own(limit):
        then = {"status_code": told.status, "body": {"inline_string": told.text}}
        grpc = f"({condition}) && request.headers['content-type'].startsWith('application/grpc')"
        found.append(_when(grpc, headers_to_add=named + headers(told, grpc=True), **then))
        found.append(_when(condition, headers_to_add=named + headers(told), **then))
    return found


def _when(condition: str, **then: object) -> Document:
    cel = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    typed = {"@type": cel, "expression": condition}
    return {
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": typed,
            }
        },
        **then,
    }
