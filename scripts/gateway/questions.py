"""Routing -> routes that ask after the server and its models, in the words of each protocol.

/healthz, /v2/health/live                     whether TorchServe lives
/ready, /v2/health/ready                      whether every wanted model can answer
/ready/NAME, /v1/models/NAME, /v2/models/NAME[/versions/V]/ready
/, /endpoints, /openapi.json, /samples/..., /v1/models, /v2, /v2/models/NAME[/versions/V]      files
/latency                                      Envoy's own statistics of each version
ServerLive, ServerReady, ModelReady, ServerMetadata, ModelMetadata    the same over gRPC
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.gateway import replies
from scripts.gateway.answering import (
    FILE,
    MODEL,
    VERSION,
    WHOLE,
    filed,
    got,
    of_model,
    told,
)
from scripts.gateway.matching import absent, exactly, method, pattern, present
from scripts.gateway.replies import Document, Reply, header
from scripts.gateway.routing import ModelRoutes, Page, Route, Routing
from scripts.gateway.ways import OIP

NAMES = "[A-Za-z0-9][A-Za-z0-9_.-]*"
"""What may be quoted in an answer: the characters of models' names and versions."""

SECOND, THIRD, LAST, FIFTH = (
    f"%CEL(re.capture(request.url_path, '{part}')):100%"
    for part in ("/[^/]+/([^/]+).*", "/[^/]+/[^/]+/([^/:]+).*", ".*/([^/]+)", "(?:/[^/]+){4}/([^/]+)/.*")
)
"""Envoy's formats for a part of the path: a model in it, and a version; names have at most 100 characters."""

READY = Reply(200, {"ready": True})
LIVE = Reply(200, {"live": True})

PROTOBUF = "application/x-protobuf"
YES, NO = b"\x08\x01", b"\x08\x00"
"""ServerLiveResponse, ServerReadyResponse and ModelReadyResponse: field 1, a bool."""

LATENCY = (
    r"/stats?format=json&histogram_buckets=summary"
    r"&filter=cluster\.[^/]%2B/[^/]%2B/(rest|grpc)\.upstream_rq_(time|completed|5xx|active)$"
)
"""Of the admin interface; what stands behind a `?` of the caller's isn't passed on."""


def health(routing: Routing) -> Iterator[Document]:
    """Also while the server is stopping."""
    live = None if routing.healthy else replies.UNHEALTHY
    yield from got("/healthz", live or Reply(200, {"healthy": True}))
    yield from got("/v2/health/live", live or LIVE, plain=True)


def readiness(routing: Routing) -> Iterator[Document]:
    reasons = {name: reason for name, model in routing.models.items() if (reason := why_not(model))}
    not_all = replies.not_all_ready(reasons)
    yield from got("/ready", READY if routing.ready else not_all)
    yield from got("/v2/health/ready", READY if routing.ready else not_all, plain=True)
    for name, model in routing.models.items():
        if offered(model):
            yield from of_model(name, _model(name, model))
    yield told(pattern(f"/ready/{NAMES}"), replies.unknown_model(SECOND))
    models = pattern(f"/v[12]/models/{NAMES}(?:(?:/versions/{NAMES})?/ready)?")
    yield told({**models, "headers": [method("GET|HEAD")]}, replies.unknown_model(THIRD), plain=True)


def _model(name: str, model: ModelRoutes) -> Iterator[Document]:
    reason = why_not(model)
    unready = replies.not_ready(name, reason) if reason else None
    named = Reply(200, {"name": name, "ready": True})
    yield from got(f"/ready/{name}", unready or READY)
    yield from got(f"/v1/models/{name}", unready or named, plain=True)
    yield from got(f"/v2/models/{name}/ready", unready or named, plain=True)
    for version, route in offered(model).items():
        missing = replies.not_ready(name, f"{version} {route.unready}") if route.unready else None
        yield from got(f"/v2/models/{name}/versions/{version}/ready", missing or named, plain=True)
    versions = pattern(f"/v2/models/{re.escape(name)}/versions/{NAMES}/ready")
    yield told(
        {**versions, "headers": [method("GET|HEAD")]},
        replies.unknown_version(name, FIFTH, list(offered(model))),
        plain=True,
    )


def pages(routing: Routing) -> Iterator[Document]:
    """What lies in files; before what is ready, whose paths are patterns."""
    json = {"path": "/", "headers": [method("GET|HEAD"), exactly("accept", "application/json")]}
    yield told(json, Reply(200, {"status": "alive"}))  # as KServe's first protocol asks a server
    for path, page in routing.pages.items():
        yield from of_model(page.model, _page(path))
    latency = [method("GET"), exactly(":path", "/latency")]
    yield {
        "match": {"path": "/latency", "headers": latency},
        "route": {"cluster": "latency", "prefix_rewrite": LATENCY, "timeout": "5s"},
    }


def _page(path: str) -> Iterator[Document]:
    yield filed({"path": path, "headers": [method("GET|HEAD")]}, path)
    yield told({"path": path}, replies.ONLY_GET, plain=path.startswith("/v"))


def files(routing: Routing) -> Iterator[tuple[str, Page]]:
    """All that lies in the listener `files`, by path."""
    yield from routing.pages.items()
    yield "/grpc/yes", Page(PROTOBUF, YES)
    yield "/grpc/no", Page(PROTOBUF, NO)
    for key, message in routing.messages.items():
        yield f"/grpc/{key}", Page(PROTOBUF, message)


def filing(path: str, page: Page, file: str) -> Document:
    """The route that answers with a page, which lies in the file, to those whom `filed` sends."""
    headers = {"content-type": page.content_type, **page.headers}
    return {
        "match": {"path": path, "headers": [present(FILE)]},
        "direct_response": {"status": 200, "body": {"filename": file}},
        "response_headers_to_add": [header(name, value) for name, value in headers.items()],
    }


def by_grpc(routing: Routing) -> Iterator[Document]:
    """As grpc.lua has read them."""
    yield _asked("ServerLive", "yes" if routing.healthy else "no")
    yield _asked("ServerReady", "yes" if routing.ready else "no")
    for name, model in routing.models.items():
        if offered(model):
            yield from of_model(name, _ready_by_grpc(name, model))
    yield _asked("ModelReady", "no")
    if "ServerMetadata" in routing.messages:
        yield _asked("ServerMetadata", "ServerMetadata")
    for key in routing.messages:
        asked, _, named = key.partition("/")
        if named:
            name, _, version = named.partition("/")
            yield from of_model(name, [_asked(asked, key, *naming(name, version))])
    yield told(
        {"path": f"{OIP}/ModelMetadata", "headers": [present(MODEL)]},
        replies.unknown_model(f"%REQ({MODEL})%"),
        grpc=True,
    )


def _ready_by_grpc(name: str, model: ModelRoutes) -> Iterator[Document]:
    yield _asked("ModelReady", "no" if why_not(model) else "yes", *naming(name))
    for version, route in offered(model).items():
        yield _asked("ModelReady", "no" if route.unready else "yes", *naming(name, version))


def naming(name: str, version: str = "") -> tuple[Document, Document]:
    """Matches messages that name this model, and this version or none."""
    return exactly(MODEL, name), exactly(VERSION, version) if version else absent(VERSION)


def _asked(called: str, key: str, *headers: Document) -> Document:
    return filed({"path": f"{OIP}/{called}", "headers": [present(WHOLE), *headers]}, f"/grpc/{key}")


def offered(model: ModelRoutes) -> dict[str, Route]:
    return {version: route for version, route in model.versions.items() if not route.leaving}


def why_not(model: ModelRoutes) -> str:
    """Why callers who name no version get no answer; "" when they get one."""
    if model.default not in model.versions:
        return replies.NO_DEFAULT
    reason = model.versions[model.default].unready
    return f"{model.default} {reason}" if reason else ""
