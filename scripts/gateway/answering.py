"""What a route does: answer itself, hand on a file, or lead to a version's cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scripts.gateway import replies
from scripts.gateway.matching import method, pattern, present, share
from scripts.gateway.replies import Document, Reply, header
from scripts.gateway.routing import Mirror, Route
from scripts.gateway.ways import PLAIN

WHOLE = "x-pthserve-whole"
"""On a request that was read whole and comes to its routes a second time. Callers can't send it."""

MODEL, VERSION = "x-pthserve-model", "x-pthserve-version"
"""What grpc.lua found in the message."""

AGAIN = "x-pthserve-again"
"""torchserve.lua's word for an answer after which a second attempt is worth it."""

FILE = "x-pthserve-file"
"""On a request that goes on to the listener `files`: what lies there answers nobody else."""

FILES, FILES_HOST = "files", "files.pthserve.invalid"
"""Its cluster, and its virtual host: no server can have such a name (RFC 2606)."""

NOT_OURS = ["expect", "grpc-timeout"]
"""Headers that end here: TorchServe would refuse what it doesn't expect, and break off a call at its
caller's deadline in a way that asks for a second attempt."""

OF = "of_model"
"""Beside a route on its way to access.py: Envoy knows no such key."""

IDLE = 30  # s without a byte either way, beyond the deadline

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"

UNBRIDGED = {
    "bridge": {
        "@type": f"{FILTERS}.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute",
        "disabled": True,
    },
    "unbridge": {"@type": f"{FILTERS}.lua.v3.LuaPerRoute", "disabled": True},
}
"""Of a route on which gRPC stays gRPC."""


def told(match: Document, reply: Reply, *, grpc: bool = False, plain: bool = False) -> Document:
    """The gateway's own answer; `plain`: in the form of protocols whose errors are texts."""
    said = {"inline_string": reply.plain if plain and reply.status >= 400 else reply.text}
    body = {"body_format": {"text_format_source": said}} if reply.formatted else {"body": said}
    return {
        "match": match,
        "direct_response": {"status": reply.status, **body},
        "response_headers_to_add": replies.headers(reply, grpc=grpc),
    }


def all_told(reply: Reply, *headers: Document) -> Iterator[Document]:
    """Whatever is asked for, in the form of its protocol."""
    wanted = {"headers": list(headers)} if headers else {}
    yield told({"prefix": "/", "grpc": {}, **wanted}, reply, grpc=True)
    yield told({**pattern(PLAIN), **wanted}, reply, plain=True)
    yield told({"prefix": "/", **wanted}, reply)


def got(path: str, reply: Reply, *, plain: bool = False) -> Iterator[Document]:
    """An answer to GET and HEAD at one path."""
    yield told({"path": path, "headers": [method("GET|HEAD")]}, reply, plain=plain)
    yield told({"path": path}, replies.ONLY_GET, plain=plain)


def filed(match: Document, key: str) -> Document:
    """What lies in the listener `files` under this path."""
    return {
        "match": match,
        "route": {
            "cluster": FILES,
            "prefix_rewrite": key,
            "host_rewrite_literal": FILES_HOST,
            "timeout": "10s",
        },
        "request_headers_to_add": [header(FILE, "yes")],
    }


def answered(
    match: Document,
    cluster: str,
    route: Route,
    *,
    mirror: tuple[str, Mirror] | None = None,
    headers: Mapping[str, str] = {},
    **more: object,
) -> Document:
    """By a version. Once more after a failure that may be the worker's or the connection's; never after the
    deadline. `mirror`: the cluster that gets a share of copies; `headers`: for the worker.
    """
    copied = (
        {"request_mirror_policies": [{"cluster": mirror[0], "runtime_fraction": share(mirror[1].percent)}]}
        if mirror is not None
        else {}
    )
    return {
        "match": match,
        "route": {
            "cluster": cluster,
            "timeout": f"{route.deadline:.3f}s",
            "idle_timeout": f"{route.deadline + IDLE:.3f}s",
            "retry_policy": {
                "retry_on": "connect-failure,reset,retriable-headers",
                "num_retries": 1,
                "retriable_headers": [present(AGAIN)],
            },
            **copied,
            **more,
        },
        "request_headers_to_add": [header(key, value) for key, value in headers.items()],
        "request_headers_to_remove": [WHOLE, MODEL, VERSION, *NOT_OURS],
    }


def of_model(name: str, routes: Iterable[Document]) -> Iterator[Document]:
    """Routes that tell of this model alone, marked for access.py, which takes the mark away; "": of all."""
    return (route | {OF: name} if name else route for route in routes)


def to_lua(**values: str) -> Document:
    """What a script reads as its route's metadata."""
    return {"metadata": {"filter_metadata": {"envoy.filters.http.lua": values}}}
