"""Routing -> the gateway's routes. A request meets them in this order, and the first that matches answers:

    /healthz                          answered by the gateway
    all, while stopping               503
    files, and what is ready          answered by the gateway (questions.py)
    what is large or has no length    also gRPC: read whole by the listener `whole`, and here again
    a body above the limit            413
    a model's paths (ways.py)         the version's cluster, or why it can't answer
    gRPC, as grpc.lua has read it     the same, by the headers that it sets
    everything else                   404

Paths are matched exactly as they were sent: what isn't written like an allowed one is no allowed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.gateway import questions, replies
from scripts.gateway.answering import (
    FILTERS,
    MODEL,
    UNBRIDGED,
    VERSION,
    WHOLE,
    all_told,
    answered,
    of_model,
    to_lua,
    told,
)
from scripts.gateway.matching import absent, exactly, length, method, pattern, present, share
from scripts.gateway.questions import FIFTH, LAST, NAMES, SECOND, THIRD, naming, offered
from scripts.gateway.replies import Document, Reply, header
from scripts.gateway.routing import Mirror, ModelRoutes, Route, Routing
from scripts.gateway.ways import BODIES, INFER, OIP, OIP_GRPC, PREDICTIONS, WAYS

LARGE = 2**16
"""Bytes of a body; smaller ones mostly arrive with their headers."""

RAW = {"content-type": "application/octet-stream"}
"""Of bodies whose protocol the path tells: TorchServe would lose one that curl's -d calls a form."""

NEW = absent(WHOLE)
"""Matches a request that comes for the first time."""


def routes(routing: Routing, limit: int) -> list[Document]:
    found = [*questions.health(routing)]
    if routing.stopping:  # what was accepted before, and is being read whole, still finds its route
        found += all_told(replies.STOPPING, NEW)
    found += [*questions.pages(routing), *questions.readiness(routing), *_whole(limit)]
    found += all_told(replies.too_large(limit), length(limit + 1, 2**63 - 2))
    for name, model in routing.models.items():
        found += of_model(name, _model(name, model))
    return [*found, *questions.by_grpc(routing), *_unknown()]


def revision(of: str) -> Document:
    """Answers the gateway's own question (see envoy.yaml's listener `probe`); to all others a 404."""
    return told({"prefix": "/"}, replies.NOT_HERE) | to_lua(revision=of)


def cluster_name(name: str, version: str, *, grpc: bool) -> str:
    return f"{name}/{version}/grpc" if grpc else f"{name}/{version}"


def mirror_name(name: str) -> str:
    """The cluster of a model's copies: no version has an empty name."""
    return f"{name}//mirror"


def _whole(limit: int) -> Iterator[Document]:
    """What may take long to arrive, or much memory, gets its route when it is complete: TorchServe would hold
    what has come so far for as many callers as there are, without a bound. So none arrives at a version that
    has left meanwhile.

    A small one, of a known length, keeps the route that it had at its start, and mostly is there by then.
    """
    for match in (
        {"path": PREDICTIONS, "grpc": {}, "headers": [NEW, method("POST")]},
        {"prefix": f"{OIP}/", "grpc": {}, "headers": [NEW, method("POST")]},
        {**pattern(BODIES), "headers": [NEW, absent("content-length"), method("POST|PUT")]},
        {**pattern(BODIES), "headers": [NEW, length(LARGE, limit), method("POST|PUT")]},
    ):
        yield {
            "match": match,
            "route": {"cluster": "whole", "timeout": "0s", "idle_timeout": "0s"},  # the second pass has them
            "request_headers_to_add": [header(WHOLE, "yes")],
            **_complete(limit),
        }


def _complete(most: int) -> Document:
    """Of a route that nothing takes before all of it is there: who sends slowly takes nobody's place."""
    config = {"@type": f"{FILTERS}.buffer.v3.BufferPerRoute", "buffer": {"max_request_bytes": most}}
    return {"typed_per_filter_config": {"envoy.filters.http.buffer": config}}


def _model(name: str, model: ModelRoutes) -> Iterator[Document]:
    versions = offered(model)
    if not versions:
        return
    canary = model.canary
    candidate = offered(model).get(canary.version) if canary is not None else None
    if canary is not None and candidate is not None and not candidate.unready:
        chance = {"runtime_fraction": share(canary.percent)}
        yield from _led(name, canary.version, candidate, chance=chance)
    if model.default in model.versions:
        yield from _version(
            name, model.default, model.versions[model.default], named=False, mirror=model.mirror
        )
    else:
        yield from _version(name, "", Route(0, replies.NO_DEFAULT), named=False)
    for version, route in versions.items():
        yield from _version(name, version, route, named=True)
    yield from _no_version(name, list(versions))


def _version(
    name: str, version: str, route: Route, *, named: bool, mirror: Mirror | None = None
) -> Iterator[Document]:
    """One version by every way, and the wrong methods; `named`: for callers who ask for it."""
    if route.unready:
        reply = replies.not_ready(name, f"{version} {route.unready}".strip())
        for way in WAYS:
            if path := way.to(name, version if named else ""):
                yield told({"path": path, "headers": [method(way.methods)]}, reply, plain=bool(way.protocol))
        for path in (PREDICTIONS, INFER):
            yield _by_grpc(_message(path, name, version if named else ""), reply)
    else:
        yield from _led(name, version, route, named=named, mirror=mirror)
    for way in WAYS:
        if path := way.to(name, version if named else ""):
            only = replies.only(way.methods.split("|"))
            yield told({"path": path}, only, plain=bool(way.protocol))


def _led(
    name: str,
    version: str,
    route: Route,
    *,
    named: bool = False,
    mirror: Mirror | None = None,
    chance: Document | None = None,
) -> Iterator[Document]:
    """To a version that can answer, which is decided here, once: TorchServe is told of it in the path."""
    rest, asked = cluster_name(name, version, grpc=False), version if named else ""
    sometimes, rewritten = chance or {}, {"prefix_rewrite": f"/predictions/{name}/{version}"}
    copies = (mirror_name(name), mirror) if mirror is not None else None
    told_version = {"response_headers_to_add": [header("x-model-version", version)]}
    unspoken = replies.predictions_only(name, version) if route.predictions_only else None
    for way in WAYS:
        if path := way.to(name, asked):
            match = {"path": path, "headers": [method(way.methods)], **sometimes}
            if unspoken is not None and way.protocol:
                yield told(match, unspoken, plain=True)
                continue
            protocol = {"x-pthserve-protocol": way.protocol, **RAW} if way.protocol else {}
            asking = answered(match, rest, route, mirror=copies, headers=protocol, **rewritten)
            yield asking | _complete(LARGE)
    infer = {**_message(INFER, name, asked), **sometimes}
    protocol = {"x-pthserve-protocol": OIP_GRPC}
    if unspoken is not None:
        yield told(infer, unspoken, grpc=True)
    else:
        yield answered(infer, rest, route, mirror=copies, headers=protocol, **rewritten) | told_version
    predict = {**_message(PREDICTIONS, name, asked), **sometimes}
    grpc = answered(predict, cluster_name(name, version, grpc=True), route)
    yield grpc | told_version | to_lua(version=version) | {"typed_per_filter_config": UNBRIDGED}


def _message(path: str, name: str, version: str) -> Document:
    """What grpc.lua has read; "" for those who name no version."""
    return {"path": path, "headers": [present(WHOLE), *naming(name, version)]}


def _by_grpc(match: Document, reply: Reply) -> Document:
    unbridged = {"typed_per_filter_config": UNBRIDGED} if match["path"] == PREDICTIONS else {}
    return told(match, reply, grpc=True) | unbridged


def _no_version(name: str, versions: list[str]) -> Iterator[Document]:
    """Versions that aren't there."""
    escaped = re.escape(name)
    rest, oip = f"/predictions/{escaped}/{NAMES}", f"/v2/models/{escaped}/versions/{NAMES}/infer"
    yield told(pattern(rest), replies.unknown_version(name, LAST, versions))
    yield told(pattern(oip), replies.unknown_version(name, FIFTH, versions), plain=True)
    by_message = replies.unknown_version(name, f"%REQ({VERSION})%", versions)
    for path in (PREDICTIONS, INFER):
        yield _by_grpc({"path": path, "headers": [exactly(MODEL, name)]}, by_message)


def _unknown() -> Iterator[Document]:
    yield told(pattern(f"/predictions/{NAMES}(/{NAMES})?"), replies.unknown_model(SECOND))
    models = pattern(f"/v1/models/{NAMES}:predict|/v2/models/{NAMES}(/versions/{NAMES})?/infer")
    yield told(models, replies.unknown_model(THIRD), plain=True)
    for path in (PREDICTIONS, INFER):
        yield _by_grpc({"path": path, "headers": [present(MODEL)]}, replies.unknown_model(f"%REQ({MODEL})%"))
    for match in ({"prefix": f"{OIP}/"}, {"prefix": "/", "grpc": {}}):  # the first is none any more by now
        yield told(match, replies.NO_METHOD, grpc=True)
    yield from all_told(replies.NOT_HERE)
