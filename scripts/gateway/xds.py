"""Routing -> what is in the two files that Envoy watches: its routes (RDS) and its clusters (CDS). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from scripts.gateway import access, questions, replies, routes
from scripts.gateway.admin import REVISION
from scripts.gateway.answering import AGAIN, FILES_HOST, told
from scripts.gateway.replies import Document, header
from scripts.gateway.routing import Mirror, Page, Routing

CONNECT = "1s"  # TorchServe is on this machine, or beside it
KEPT = "60s"  # idle connections; TorchServe itself never closes them
CONNECTIONS = 10_000
"""Of callers, at once."""

MOST = CONNECTIONS
"""Connections of a version, and requests waiting for one: those who send slowly keep no one else out, and
TorchServe's queue (job_queue_size) fills first. And second attempts: one dead worker takes a batch along."""

LARGEST_REPLY = 2**20
"""Bytes: /ready names every model that isn't. Files may be larger: the API's description grows with them."""

COPIES = 32
"""Requests at once that a mirror gets."""

_BOUNDS = ("max_connections", "max_pending_requests", "max_requests")

EXTENSIONS = "type.googleapis.com/envoy.extensions"


class Upstreams(Struct, frozen=True):
    """TorchServe's two ports, as IP address and port, and the script that reads its refusals."""

    rest: tuple[str, int]
    grpc: tuple[str, int]
    script: Path


def route_configuration(
    routing: Routing, revision: str, limit: int, files: Mapping[str, tuple[Page, Path]]
) -> Document:
    """All routes. `revision` stands where the gateway's own question finds it; `files`: pages by their path,
    and where each lies.
    """
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "routes",
        "virtual_hosts": [
            access.guarded(
                {
                    "name": "callers",
                    "domains": ["*"],
                    "routes": routes.routes(routing, limit),
                    # A body is kept for the second attempt, or there is none; with room for grpc.lua's field.
                    "request_body_buffer_limit": limit + 2**16,
                },
                routing,
            ),
            {"name": "revision", "domains": [REVISION], "routes": [routes.revision(revision)]},
            {"name": "files", "domains": [FILES_HOST], "routes": list(_filings(files))},
        ],
        "max_direct_response_body_size_bytes": max(
            [LARGEST_REPLY, *(len(page.body) for page, _ in files.values())]
        ),
        "response_headers_to_add": [header("x-request-id", "%REQ(x-request-id)%")],
        "response_headers_to_remove": [AGAIN],
    }


def _filings(files: Mapping[str, tuple[Page, Path]]) -> Iterator[Document]:
    for path, (page, file) in files.items():
        yield questions.filing(path, page, str(file))
    yield told({"prefix": "/"}, replies.NOT_HERE)


def clusters(routing: Routing, upstreams: Upstreams) -> list[Document]:
    """Two for each version, REST and gRPC, those that leave included; and one where copies go."""
    mirrors = [
        _mirror(name, model.mirror) for name, model in routing.models.items() if model.mirror is not None
    ]
    return mirrors + [
        _cluster(name, version, upstreams, route.limit, grpc=grpc)
        for name, model in routing.models.items()
        for version, route in model.versions.items()
        for grpc in (False, True)
    ]


def _cluster(name: str, version: str, upstreams: Upstreams, limit: int, *, grpc: bool) -> Document:
    host, port = upstreams.grpc if grpc else upstreams.rest
    endpoint = {"address": {"socket_address": {"address": host, "port_value": port}}}
    own = routes.cluster_name(name, version, grpc=grpc)
    script = _filter("lua.v3.Lua", default_source_code={"filename": str(upstreams.script)})
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": own,
        "alt_stat_name": own if grpc else f"{own}/rest",  # the tags of gateway/envoy.yaml take it apart
        "connect_timeout": CONNECT,
        "load_assignment": {
            "cluster_name": own,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": MOST,
                    "max_pending_requests": MOST,
                    "max_requests": limit or MOST,
                    "max_retries": MOST,
                    "track_remaining": True,  # who waits for a second attempt is on no connection
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": KEPT},
                "explicit_http_config": {
                    "http2_protocol_options" if grpc else "http_protocol_options": {},
                },
                "http_filters": [
                    script if grpc else _unless_ok(script),
                    _filter("upstream_codec.v3.UpstreamCodec"),
                ],
            }
        },
    }


def _mirror(name: str, mirror: Mirror) -> Document:
    """Nobody waits for it: what it can't take at once is dropped."""
    own = routes.mirror_name(name)
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": own,
        "connect_timeout": CONNECT,
        "load_assignment": {
            "cluster_name": own,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": mirror.socket}}}}]}],
        },
        "circuit_breakers": {"thresholds": [dict.fromkeys(_BOUNDS, COPIES)]},
    }


def _unless_ok(filtered: Document) -> Document:
    """The filter, but not for status 200: a script takes a sixth of the gateway's time on a small answer."""
    kind = f"{EXTENSIONS}.filters.common.matcher.action.v3.SkipFilter"
    status = "type.googleapis.com/envoy.type.matcher.v3.HttpResponseHeaderMatchInput"
    return {
        "name": filtered["name"],
        "typed_config": {
            "@type": f"{EXTENSIONS}.common.matching.v3.ExtensionWithMatcher",
            "extension_config": filtered,
            "xds_matcher": {
                "matcher_tree": {
                    "input": {
                        "name": "status",
                        "typed_config": {"@type": status, "header_name": ":status"},
                    },
                    "exact_match_map": {
                        "map": {"200": {"action": {"name": "skip", "typed_config": {"@type": kind}}}}
                    },
                }
            },
        },
    }


def _filter(kind: str, **config: object) -> Document:
    name = kind.partition(".")[0]
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{EXTENSIONS}.filters.http.{kind}", **config},
    }
