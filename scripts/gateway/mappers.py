"""Envoy's own failures ("upstream connect error ...") -> the replies that callers read instead."""

from __future__ import annotations

from scripts.gateway import replies
from scripts.gateway.replies import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    Document,
    Reply,
    header,
    headers,
    refusal,
)
from scripts.gateway.ways import OIP

ENCODED = "this transfer-encoding isn't spoken here"

GRPC = (
    "(request.headers['content-type'].startsWith('application/grpc')"
    f" || request.headers['x-pthserve-path'].startsWith('{OIP}/'))"  # a body of HTTP by now
)
FORBIDDEN = "response.code == 403 && response.code_details.startsWith('rbac')"
"""By a key; there is another 403, for who wants to leave HTTP."""

PLAIN = "request.headers['x-pthserve-path'].matches('^/v[12](/|$)')"
"""KServe v1 and the Open Inference Protocol, whose errors are a text: {"error": "...", "code": "..."}."""


def envoys_own(limit: int) -> list[tuple[str, Reply]]:
    """Envoy's own failures as conditions in CEL, of which the first that holds counts; what callers read."""
    late, sooner = "the request didn't arrive in time", f"send all of it within {replies.ARRIVES_IN} seconds"
    bad, http = "bad_request", "the request isn't valid HTTP"
    return [
        ("response.code == 401", replies.UNAUTHORIZED),
        (FORBIDDEN, replies.FORBIDDEN),
        ("response.code == 429", replies.RATE_LIMITED),
        ("response.code == 413", replies.too_large(limit)),
        (
            "response.code == 408",
            refusal(408, "request_timeout", late, sooner, grpc=DEADLINE_EXCEEDED),
        ),
        ("response.code == 404", replies.NOT_HERE),
        ("response.code == 431", replies.LONG_HEADERS),
        ("response.code == 501", refusal(501, bad, ENCODED, "send it chunked, or with a length")),
        ("response.code < 500", refusal(400, bad, http, "use a client's library", grpc=INVALID_ARGUMENT)),
        ("response.code == 504", replies.TOO_LATE),
        (
            "response.code_details.contains('overflow') || response.code_details == 'overload'",
            replies.OVERLOADED,
        ),
        ("true", replies.UNREACHED),
    ]


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
        plain = then | {"body": {"inline_string": told.plain}}
        by_grpc, by_rest = headers(told, grpc=True), headers(told)
        found.append(_when(f"({condition}) && {GRPC}", headers_to_add=named + by_grpc, **then))
        found.append(_when(f"({condition}) && {PLAIN}", headers_to_add=named + by_rest, **plain))
        found.append(_when(condition, headers_to_add=named + by_rest, **then))
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
