"""Routing -> the gateway's routes. A request meets them in this order, and the first that matches answers:

    /healthz                          answered by the gateway
    all, while stopping               503
    /ready, /ready/NAME               answered by the gateway
    what is large or has no length    also gRPC: read whole by the listener `whole`, and here again
    a body above the limit            413
    /predictions/NAME[/VERSION]       the version's cluster, or why it can't answer
    gRPC, as grpc.lua has read it     the same, by the headers that it sets
    everything else                   404

Paths are matched exactly as they were sent: what isn't written like an allowed one is no allowed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.gateway import replies
from scripts.gateway.replies import Document, Reply, header
from scripts.gateway.routing import ModelRoutes, Route, Routing

PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
"""The gRPC method, from inference.proto inside TorchServe's jar."""

WHOLE = "x-pthserve-whole"
"""On a request that was read whole and comes to its routes a second time. Callers can't send it."""

MODEL, VERSION = "x-pthserve-model", "x-pthserve-version"
"""What grpc.lua found in the message."""

AGAIN = "x-pthserve-again"
"""torchserve.lua's word for an answer after which a second attempt is worth it."""

NAMES = "[A-Za-z0-9][A-Za-z0-9_.-]*"
"""What may be quoted in an answer: the characters of models' names and versions."""

SECOND, LAST = (
    f"%CEL(re.capture(request.url_path, '{part}')):100%" for part in ("/[^/]+/([^/]+).*", ".*/([^/]+)")
)
"""Envoy's formats for a part of the path: a model in it, and a version; names have at most 100 characters."""

NOT_OURS = ["expect", "grpc-timeout"]
"""Headers that end here: TorchServe would refuse what it doesn't expect, and break off a call at its
caller's deadline in a way that asks for a second attempt."""

LARGE = 2**16
"""Bytes of a body; smaller ones mostly arrive with their headers."""

IDLE = 30  # s without a byte either way, beyond the deadline

NEW = {"name": WHOLE, "present_match": False}
"""Matches a request that comes for the first time."""

READY = Reply(200, {"ready": True})


def routes(routing: Routing, limit: int) -> list[Document]:
    found = [*_healthy(routing), *_stopping(routing), *_ready(routing), *_whole(limit)]
    above = {"prefix": "/", "headers": [_length(limit + 1, 2**63 - 2)]}
    found.append(_told(above, replies.too_large(limit)))
    for name, model in routing.models.items():
        found += _model(name, model)
    return [*found, *_unknown()]


def revision(of: str) -> Document:
    """Answers the gateway's own question (see envoy.yaml's listener `probe`); to all others a 404."""
    return _told({"prefix": "/"}, replies.NOT_HERE) | _to_lua(revision=of)


def cluster_name(name: str, version: str, *, grpc: bool) -> str:
    return f"{name}/{version}/grpc" if grpc else f"{name}/{version}"


def _healthy(routing: Routing) -> Iterator[Document]:
    yield from _got("/healthz", Reply(200, {"healthy": True}) if routing.healthy else replies.UNHEALTHY)


def _stopping(routing: Routing) -> Iterator[Document]:
    """What was accepted before, and is being read whole, still finds its route."""
    if routing.stopping:
        yield _told({"prefix": "/", "grpc": {}, "headers": [NEW]}, replies.STOPPING, grpc=True)
        yield _told({"prefix": "/", "headers": [NEW]}, replies.STOPPING)


def _ready(routing: Routing) -> Iterator[Document]:
    reasons = {name: reason for name, model in routing.models.items() if (reason := _why_not(model))}
    yield from _got("/ready", READY if routing.ready else replies.not_all_ready(reasons))
    for name, model in routing.models.items():
        reason = _why_not(model)
        if _offered(model):
            yield from _got(f"/ready/{name}", replies.not_ready(name, reason) if reason else READY)
    yield _told(_pattern(f"/ready/{NAMES}"), replies.unknown_model(SECOND))


def _whole(limit: int) -> Iterator[Document]:
    """What may take long to arrive, or much memory, gets its route when it is complete: TorchServe would hold
    what has come so far for as many callers as there are, without a bound. A small one, of a known length,
    goes straight on and is counted from its start.

    So none arrives at a version that has left meanwhile: `active` counts who holds an older route.
    """
    unmeasured = {"name": "content-length", "present_match": False}
    for match in (
        {"path": PREDICTIONS, "grpc": {}, "headers": [NEW, _method("POST")]},
        {"prefix": "/predictions/", "headers": [NEW, unmeasured, _method("POST|PUT")]},
        {"prefix": "/predictions/", "headers": [NEW, _length(LARGE, limit), _method("POST|PUT")]},
    ):
        yield {
            "match": match,
            "route": {"cluster": "whole", "timeout": "0s", "idle_timeout": "0s"},  # the second pass has them
            "request_headers_to_add": [header(WHOLE, "yes")],
            "typed_per_filter_config": {
                "envoy.filters.http.buffer": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
                    "buffer": {"max_request_bytes": limit},
                }
            },
        }


def _model(name: str, model: ModelRoutes) -> Iterator[Document]:
    offered = _offered(model)
    if not offered:
        return
    if model.default in model.versions:
        yield from _version(name, model.default, model.versions[model.default], named=False)
    else:
        yield from _version(name, "", Route(0, replies.NO_DEFAULT), named=False)
    for version, route in offered.items():
        yield from _version(name, version, route, named=True)
    unknown = _pattern(f"/predictions/{re.escape(name)}/{NAMES}")
    yield _told(unknown, replies.unknown_version(name, LAST, list(offered)))
    grpc = {"path": PREDICTIONS, "headers": [_exactly(MODEL, name)]}
    yield _told(grpc, replies.unknown_version(name, f"%REQ({VERSION})%", list(offered)), grpc=True)


def _version(name: str, version: str, route: Route, *, named: bool) -> Iterator[Document]:
    """REST, its wrong methods, and gRPC of one version; `named`: for callers who ask for it."""
    path = f"/predictions/{name}/{version}" if named else f"/predictions/{name}"
    asked = _exactly(VERSION, version) if named else {"name": VERSION, "present_match": False}
    rest = {"path": path, "headers": [_method("POST|PUT")]}
    grpc = {"path": PREDICTIONS, "headers": [_exactly(MODEL, name), asked]}
    if route.unready:
        told = replies.not_ready(name, f"{version} {route.unready}".strip())
        yield _told(rest, told)
        yield _told(grpc, told, grpc=True)
    else:
        rewritten = {"prefix_rewrite": f"/predictions/{name}/{version}"}  # the version is decided here, once
        yield _answered(rest, cluster_name(name, version, grpc=False), route, **rewritten)
        answers = {"response_headers_to_add": [header("x-model-version", version)]} | _to_lua(version=version)
        yield _answered(grpc, cluster_name(name, version, grpc=True), route) | answers
    yield _told({"path": path}, replies.ONLY_POST)


def _unknown() -> Iterator[Document]:
    yield _told(_pattern(f"/predictions/{NAMES}(/{NAMES})?"), replies.unknown_model(SECOND))
    grpc = {"path": PREDICTIONS, "grpc": {}, "headers": [{"name": MODEL, "present_match": True}]}
    yield _told(grpc, replies.unknown_model(f"%REQ({MODEL})%"), grpc=True)
    yield _told({"prefix": "/", "grpc": {}}, replies.NO_METHOD, grpc=True)
    yield _told({"prefix": "/"}, replies.NOT_HERE)


def _offered(model: ModelRoutes) -> dict[str, Route]:
    return {version: route for version, route in model.versions.items() if not route.leaving}


def _why_not(model: ModelRoutes) -> str:
    """Why callers who name no version get no answer; "" when they get one."""
    if model.default not in model.versions:
        return replies.NO_DEFAULT
    reason = model.versions[model.default].unready
    return f"{model.default} {reason}" if reason else ""


def _answered(match: Document, cluster: str, route: Route, **more: object) -> Document:
    """Once more after a failure that may be the worker's or the connection's; never after the deadline."""
    return {
        "match": match,
        "route": {
            "cluster": cluster,
            "timeout": f"{route.deadline:.3f}s",
            "idle_timeout": f"{route.deadline + IDLE:.3f}s",
            "retry_policy": {
                "retry_on": "connect-failure,reset,retriable-headers",
                "num_retries": 1,
                "retriable_headers": [{"name": AGAIN, "present_match": True}],
            },
            **more,
        },
        "request_headers_to_remove": [WHOLE, MODEL, VERSION, *NOT_OURS],
    }


def _told(match: Document, told: Reply, *, grpc: bool = False) -> Document:
    said = {"inline_string": told.text}
    body = {"body_format": {"text_format_source": said}} if told.formatted else {"body": said}
    return {
        "match": match,
        "direct_response": {"status": told.status, **body},
        "response_headers_to_add": replies.headers(told, grpc=grpc),
    }


def _got(path: str, told: Reply) -> Iterator[Document]:
    yield _told({"path": path, "headers": [_method("GET|HEAD")]}, told)
    yield _told({"path": path}, replies.ONLY_GET)


def _to_lua(**values: str) -> Document:
    """What a script reads as its route's metadata."""
    return {"metadata": {"filter_metadata": {"envoy.filters.http.lua": values}}}


def _pattern(path: str) -> Document:
    return {"safe_regex": {"regex": path}}


def _exactly(name: str, value: str) -> Document:
    return {"name": name, "string_match": {"exact": value}}


def _method(pattern: str) -> Document:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": pattern}}}


def _length(least: int, most: int) -> Document:
    return {"name": "content-length", "range_match": {"start": least, "end": most + 1}}
