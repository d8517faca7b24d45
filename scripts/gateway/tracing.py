"""Where spans go -> what gateway/envoy.yaml says of it: OpenTelemetry, as OTLP over HTTP.

A caller's traceparent is followed and passed on; the others' requests each begin a trace.
"""

from __future__ import annotations

from scripts.config import Config
from scripts.gateway.replies import Document, first

NAMES = "type.googleapis.com/envoy"
NAME, NUMBER = (
    {"command": "CEL", "param": f"re.capture(xds.cluster_name, '{part}')"}
    for part in ("([^/]+)/[^/]+.*", "[^/]+/([^/]+).*")
)
"""What a cluster's name begins with: a model and its version."""

ASKED = {
    "command": "CEL",
    "param": "re.capture(request.headers[xds.cluster_name == 'whole' && 'x-model-version' in response.headers"
    " ? 'x-pthserve-path' : 'none'],"
    " '/(?:predictions|v[12]/models)/([A-Za-z0-9_.-]+).*')",
}
"""The model of a request that was read whole, once a version has answered it. No others': callers could
invent any number of names."""

METHOD = {"command": "REQ", "param": ":METHOD"}

TAGS = {
    "request_id": "%REQ(x-request-id)%",
    "model": first(NAME, ASKED),
    "version": first(NUMBER, {"command": "RESP", "param": "x-model-version"}),
    "status": "%RESPONSE_CODE%",
}


def spans(config: Config) -> Document | None:
    """For the listeners; None without a place for them."""
    if config.gateway_tracing is None:
        return None
    to = {"uri": f"{config.gateway_tracing.url}/v1/traces", "cluster": "tracing", "timeout": "5s"}
    return {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": f"{NAMES}.config.trace.v3.OpenTelemetryConfig",
                "service_name": "pthserve",
                "http_service": {"http_uri": to},
            },
        },
        "operation": first(NAME, ASKED, METHOD),  # the endpoint; of what is none, its method
        "custom_tags": [{"tag": tag, "value": value} for tag, value in TAGS.items()],
        "max_path_tag_length": 256,
    }


def clusters(config: Config) -> list[Document]:
    """The receiver: one, or none. Spans that it doesn't take are lost, and hold up nobody."""
    address = config.gateway_tracing
    if address is None:
        return []
    endpoint = {"address": {"socket_address": {"address": address.host, "port_value": address.port}}}
    return [
        {
            "name": "tracing",
            "type": "STRICT_DNS",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": "tracing",
                "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
            },
        }
    ]
