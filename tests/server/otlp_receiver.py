"""What takes spans in the tests: OTLP over HTTP, decoded by OpenTelemetry's own messages."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span(Struct, frozen=True):
    """One that arrived."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    tags: dict[str, str]


class OtlpReceiver:
    """Listens from `start` to `stop`; `spans` is what came."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = b"".join(iter(self._chunk, b""))
                assert self.path == "/v1/traces", self.path
                receiver.spans += _spans(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def _chunk(self) -> bytes:
                """The next, as Envoy sends them; none at the end."""
                size = int(self.rfile.readline(), 16)
                content = self.rfile.read(size)
                self.rfile.readline()
                return content

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self.close()

    def close(self) -> None:
        """Of one that was never started: its address is nobody's."""
        self._server.server_close()


def _spans(body: bytes) -> list[Span]:
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {one.key: one.value.string_value for one in resource.resource.attributes}
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            tags = {one.key: one.value.string_value for one in span.attributes}
            ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
            found.append(Span(about.get("service.name", ""), span.name, *ids, tags))
    return found
